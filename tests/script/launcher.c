// Starts cmd.exe for each script as Explorer does for a double click: cmd.exe /c ""PATH" ". Reads a UTF-8 file with one
// path per line, which a tab and NAME=VALUE may follow for that script alone; script number N finds STANDIN_OUT set to ARGUMENT2.N, and what it printed is followed by a line
// "== exit CODE". A console without a window is made, so that the code page can be switched.
#include <windows.h>
#include <stdio.h>
#include <string.h>

static DWORD run(const char *utf8) {
    static wchar_t path[32768], line[33000];
    MultiByteToWideChar(CP_UTF8, 0, utf8, -1, path, 32768);
    swprintf(line, 33000, L"cmd.exe /c \"\"%ls\" \"", path);
    STARTUPINFOW start = {sizeof start};
    start.dwFlags = STARTF_USESTDHANDLES;
    start.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    start.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    start.hStdError = GetStdHandle(STD_OUTPUT_HANDLE);
    PROCESS_INFORMATION process;
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, CREATE_NO_WINDOW, NULL, NULL, &start, &process)) return 9900;
    DWORD code = 9901;
    if (WaitForSingleObject(process.hProcess, 30000) == WAIT_OBJECT_0) GetExitCodeProcess(process.hProcess, &code);
    else TerminateProcess(process.hProcess, code);
    CloseHandle(process.hProcess);
    CloseHandle(process.hThread);
    return code;
}

int main(int argc, char **argv) {
    static char line[98304], seen[4096], old[32768];
    FILE *list = fopen(argc > 1 ? argv[1] : "", "rb");
    if (!list || argc < 3) return 99;
    for (int i = 0; fgets(line, sizeof line, list); i++) {
        snprintf(seen, sizeof seen, "%s.%d", argv[2], i);
        SetEnvironmentVariableA("STANDIN_OUT", seen);
        line[strcspn(line, "\r\n")] = 0;
        char *name = strchr(line, '\t'), *value = name ? strchr(name, '=') : NULL;
        if (name) *name++ = 0;
        if (value) {
            *value++ = 0;
            *old = 0;
            GetEnvironmentVariableA(name, old, sizeof old);
            SetEnvironmentVariableA(name, value);
        }
        DWORD code = run(line);
        if (value) SetEnvironmentVariableA(name, *old ? old : NULL);
        printf("\n== exit %d\n", (int)code);
        fflush(stdout);
    }
    return 0;
}
