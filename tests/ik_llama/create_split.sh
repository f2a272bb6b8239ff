#!/usr/bin/env bash
# Builds a program around the fork's own create_split (src/llama-load-tensors.cpp), taken out of its source.
# Usage: create_split.sh SOURCE PROGRAM    PROGRAM reads lines "PIECES GRAIN N share... used..." and prints the parts.
set -euo pipefail
{
  cat <<'CPP'
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>
#define GGML_ASSERT(x) if (!(x)) abort()
#define LLAMA_LOG_INFO(...)
CPP
  sed -n '/^static std::vector<int> create_split(/,/^}/p' "$1/src/llama-load-tensors.cpp"
  cat <<'CPP'
int main() {
    int size, grain, n;
    while (scanf("%d %d %d", &size, &grain, &n) == 3) {
        std::vector<float> splits(n); std::vector<size_t> used(n); float sum = 0;
        for (auto & s : splits) { scanf("%f", &s); sum += s; s = sum; }
        for (auto & s : splits) s /= sum;
        for (auto & u : used) scanf("%zu", &u);
        for (int part : create_split(size, grain, splits, used)) printf("%d ", part);
        printf("\n");
    }
}
CPP
} > "$2.cpp"
g++ -O1 -o "$2" "$2.cpp"
