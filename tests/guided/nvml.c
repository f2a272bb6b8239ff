/* libnvidia-ml.so.1 of a machine with the seed's three cards: the part of NVML that a driver always answers. What is
   missing here is missing in old drivers too. Structures as nvml.h has them. */
#include <string.h>

#define OK 0
#define NOT_SUPPORTED 3
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct {
    char legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char bus_id[32];
} Pci;
static const struct { const char *name, *slot; unsigned total_mib, free_mib; int major, minor; } CARDS[] = {
    {"NVIDIA GeForce GTX 1050 Ti", "00000000:01:00.0", 4096, 3900, 6, 1},
    {"NVIDIA GeForce RTX 2080", "00000000:02:00.0", 8192, 7800, 7, 5},
    {"NVIDIA GeForce GTX 1060 6GB", "00000000:03:00.0", 6144, 5900, 6, 1},
};
int nvmlInit_v2(void) { return OK; }
int nvmlInitWithFlags(unsigned flags) { (void)flags; return OK; }
int nvmlShutdown(void) { return OK; }
int nvmlSystemGetDriverVersion(char *text, unsigned length) { strncpy(text, "580.95.05", length); return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 3; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) { *handle = (void *)(long)(index + 1); return OK; }
static int at(void *handle) { return (int)(long)handle - 1; }
int nvmlDeviceGetName(void *handle, char *text, unsigned length) { strncpy(text, CARDS[at(handle)].name, length); return OK; }
int nvmlDeviceGetMemoryInfo(void *handle, Memory *memory) {
    memory->total = (unsigned long long)CARDS[at(handle)].total_mib << 20;
    memory->free = (unsigned long long)CARDS[at(handle)].free_mib << 20;
    memory->used = memory->total - memory->free;
    return OK;
}
int nvmlDeviceGetPciInfo_v3(void *handle, Pci *pci) {
    memset(pci, 0, sizeof *pci);
    strcpy(pci->bus_id, CARDS[at(handle)].slot);
    return OK;
}
int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
    *major = CARDS[at(handle)].major;
    *minor = CARDS[at(handle)].minor;
    return OK;
}
int nvmlDeviceGetMigMode(void *handle, unsigned *now, unsigned *later) { (void)handle; (void)now; (void)later; return NOT_SUPPORTED; }
