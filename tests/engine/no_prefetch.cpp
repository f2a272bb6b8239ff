// Preloaded into llama-server (LD_PRELOAD): a mapped model is not read ahead, so that one whose weights are a hole of
// gigabytes costs neither time nor page cache (llama_mmap in src/llama-mmap.cpp asks for both ways below).
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" void * mmap(void * addr, size_t length, int prot, int flags, int fd, off_t offset) noexcept {
    return (void *) syscall(SYS_mmap, addr, length, prot, flags & ~MAP_POPULATE, fd, offset);
}

extern "C" int posix_madvise(void *, size_t, int) noexcept { return 0; }
