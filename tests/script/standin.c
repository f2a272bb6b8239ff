// A stand-in engine: appends its arguments and some of its environment to the file that STANDIN_OUT names, as UTF-8
// lines between "begin" and "end", then exits with STANDIN_CODE.
#include <windows.h>
#include <shellapi.h>
#include <stdio.h>
#include <stdlib.h>

static void put(FILE *out, const char *kind, const wchar_t *text) {
    static char utf8[98304];
    if (WideCharToMultiByte(CP_UTF8, 0, text, -1, utf8, sizeof utf8, NULL, NULL)) fprintf(out, "%s %s\n", kind, utf8);
}

static void put_variable(FILE *out, const wchar_t *name) {
    static wchar_t value[32768], line[33000];
    if (!GetEnvironmentVariableW(name, value, 32768)) return;
    swprintf(line, 33000, L"%ls=%ls", name, value);
    put(out, "env", line);
}

int main(void) {
    static wchar_t path[4096], code[16];
    int count = 0;
    wchar_t **words = CommandLineToArgvW(GetCommandLineW(), &count);
    GetEnvironmentVariableW(L"STANDIN_OUT", path, 4096);
    FILE *out = _wfopen(path, L"ab");
    if (!out) return 98;
    fprintf(out, "begin\n");
    for (int i = 0; i < count; i++) put(out, "arg", words[i]);
    put_variable(out, L"CUDA_DEVICE_ORDER");
    put_variable(out, L"CUDA_VISIBLE_DEVICES");
    put_variable(out, L"KCPP_PASSWORD");
    fprintf(out, "end\n");
    fclose(out);
    return GetEnvironmentVariableW(L"STANDIN_CODE", code, 16) ? _wtoi(code) : 0;
}
