// Preloaded into llama-fit-params (LD_PRELOAD): `--fit-print on` then answers in bytes per buffer type instead of MiB.
//   EXACT_LOAD=1  loads for real instead of planning, and also prints what every device has handed out (-sm tensor)
//   EXACT_KVU=1   -kvu, which llama-fit-params does not know
#include "ggml-backend.h"
#include "llama.h"

#include "../src/llama-ext.h"

#include <cstdio>
#include <cstdlib>
#include <map>

void common_fit_print(const char * path, llama_model_params * mparams, llama_context_params * cparams);

static void print_used(const char * when) {
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t dev = ggml_backend_dev_get(i);
        if (ggml_backend_dev_type(dev) != GGML_BACKEND_DEVICE_TYPE_GPU) { continue; }
        size_t free = 0, total = 0;
        ggml_backend_dev_memory(dev, &free, &total);
        printf("USED %s %s %zu\n", when, ggml_backend_dev_name(dev), total - free);
    }
}

void common_fit_print(const char * path, llama_model_params * mparams, llama_context_params * cparams) {
    const bool load = getenv("EXACT_LOAD") != nullptr;
    if (getenv("EXACT_KVU")) { cparams->kv_unified = true; }
    llama_model_params params = *mparams;
    if (!load) {
        params.no_alloc = true;
        params.load_mode = LLAMA_LOAD_MODE_NONE;
    }
    llama_model * model = llama_model_load_from_file(path, params);
    if (!model) { return; }
    if (load) { print_used("model"); }
    llama_context * ctx = llama_init_from_model(model, *cparams);
    if (!ctx) { return; }
    if (load) { print_used("all"); }
    for (const auto & [buft, bytes] : llama_get_memory_breakdown(ctx)) {
        printf("EXACT %s %zu %zu %zu\n", ggml_backend_buft_name(buft), bytes.model, bytes.context, bytes.compute);
    }
    fflush(stdout);
}
