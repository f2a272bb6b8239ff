@echo off
setlocal EnableExtensions DisableDelayedExpansion
rem Written by splitter 0.1.0: starts a planned engine; can be run from any folder.
rem Model:    Qwen2.5-14B-Instruct-Q4_K_M, Q4_K_M, hf:bartowski/Qwen2.5-14B-Instruct-GGUF/Qwen2.5-14B-Instruct-Q4_K_M.gguf
rem Rig:      twelve-and-twentyfour
rem Engine:   llama-server (flags of the newest release)
rem Plan:     context 65536, 49 layers on GPUs
rem Device:   CUDA1 RTX 4090: 48 layers and the output layer, 20.85 GiB of 22.95 GiB free
rem Remake:   splitter script --profile team-server -o launchers
pushd "%~dps0" 2>nul
cd /d "%~dp0" 2>nul
set "CUDA_DEVICE_ORDER=PCI_BUS_ID"
set "FLAGS=--fit off -c 65536 --device CUDA1 -ngl 49 -b 2048 -ub 512 -ctk f16 -ctv f16 -fa auto -np 8 --host 0.0.0.0 --port 8080 --webui --cors-origins localhost"
set ENGINE_AT=none
for %%I in ("llama-server.exe") do if not "%%~$PATH:I"=="" set ENGINE_AT=on_path
if exist "llama-server.exe" set ENGINE_AT=beside
if %ENGINE_AT%==none goto no_engine
set MODEL_AT=none
if exist "Qwen2.5-14B-Instruct-Q4_K_M.gguf" set MODEL_AT=beside
if %MODEL_AT%==none goto no_model
if not exist "splitter-keys.txt" goto no_api_key_file
for %%I in ("splitter-keys.txt") do if %%~zI LSS 1 goto no_api_key_file
if defined SPLITTER_NO_BROWSER goto launch
if not exist "%SystemRoot%\System32\curl.exe" goto launch
start "opens the chat page" /min cmd /c "for /l %%I in (1,1,900) do @(curl -fs -o nul http://127.0.0.1:8080/health && start http://127.0.0.1:8080 && exit) & ping -n 2 127.0.0.1 >nul"
:launch
goto %ENGINE_AT%_%MODEL_AT%
:beside_beside
".\llama-server.exe" -m "Qwen2.5-14B-Instruct-Q4_K_M.gguf" %FLAGS% --api-key-file "splitter-keys.txt"
goto ended
:on_path_beside
"llama-server.exe" -m "Qwen2.5-14B-Instruct-Q4_K_M.gguf" %FLAGS% --api-key-file "splitter-keys.txt"
goto ended
:ended
set "CODE=%ERRORLEVEL%"
if "%CODE%"=="0" goto end
echo.
echo The engine ended with exit code %CODE%; its last lines above say why.
goto failed
:no_engine
echo The engine was not found.
echo   beside this script: "llama-server.exe"
echo   on PATH: "llama-server.exe"
echo   download it from: "https://github.com/ggml-org/llama.cpp/releases"
set "CODE=4"
goto failed
:no_model
echo The model was not found.
echo   beside this script: "Qwen2.5-14B-Instruct-Q4_K_M.gguf"
echo   download it from: "https://huggingface.co/bartowski/Qwen2.5-14B-Instruct-GGUF/resolve/main/Qwen2.5-14B-Instruct-Q4_K_M.gguf"
set "CODE=1"
goto failed
:no_api_key_file
echo The API key file was not found.
echo   at the planned place: "splitter-keys.txt"
set "CODE=1"
goto failed
:failed
if not defined SPLITTER_NO_PAUSE pause
:end
if defined CODEPAGE chcp %CODEPAGE% >nul
exit /b %CODE%
