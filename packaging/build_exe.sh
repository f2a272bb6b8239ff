#!/usr/bin/env bash
# splitter.exe, made by PyInstaller in the Windows Python of tests/windows/winpython.sh; prints its path.
#   packaging/build_exe.sh [FOLDER]   (default: dist)
# On Windows itself: pip install pyinstaller '.[embedded,web]' && pyinstaller packaging/splitter.spec
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd); out=$(mkdir -p "${1:-dist}" && cd "${1:-dist}" && pwd)
home=$("$root/tests/windows/winpython.sh"); tools="$home/pyinstaller"
here=$(command -v python3.11)
[ -d "$tools/PyInstaller" ] || "$here" -m pip install -qq --platform win_amd64 --python-version 3.11 --implementation cp \
    --only-binary=:all: --target "$tools" 'pyinstaller>=6.10' pefile pywin32-ctypes >&2
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
export WINEPREFIX="$home/prefix" WINEDEBUG=-all DISPLAY= PYTHONPATH="Z:$root;Z:$tools" PYTHONDONTWRITEBYTECODE=1
# Through pipes: wine gives a program no handle for a file that bash opened.
(cd "$work" && wine "$home/py/python.exe" -m PyInstaller --log-level ERROR --noconfirm --distpath "Z:$out" \
    --workpath "Z:$work" "Z:$root/packaging/splitter.spec" </dev/null 2>&1 | cat >&2)
ls "$out/splitter.exe"
