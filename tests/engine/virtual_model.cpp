// Prints the tensor table that llama.cpp itself would create for a header without tensors:
//   virtual_model HEADER.gguf   ->   lines "T name ne0 ne1 ne2 ne3"
#include "gguf.h"
#include "llama.h"

#include "../src/llama-model.h"

#include <cstdio>

int main(int argc, char ** argv) {
    if (argc != 2) { return 2; }
    llama_backend_init();
    gguf_init_params no_data = {/*.no_alloc =*/ true, /*.ctx =*/ nullptr};
    gguf_context * header = gguf_init_from_file(argv[1], no_data);
    if (!header) { return 1; }
    ggml_backend_dev_t no_devices = nullptr;
    llama_model_params params = llama_model_default_params();
    params.no_alloc = true;
    params.n_gpu_layers = 0;
    params.load_mtp = true;
    params.devices = &no_devices;
    llama_model * model = llama_model_init_from_user(header, nullptr, nullptr, params);
    if (!model) { return 1; }
    for (const auto & [name, t] : model->tensors_by_name) {
        printf("T %s %lld %lld %lld %lld\n", name.c_str(), (long long) t->ne[0], (long long) t->ne[1],
               (long long) t->ne[2], (long long) t->ne[3]);
    }
    return 0;
}
