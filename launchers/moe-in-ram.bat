@echo off
setlocal EnableExtensions DisableDelayedExpansion
rem Written by splitter 0.1.0: starts a planned engine; can be run from any folder.
rem Model:    Qwen3-30B-A3B-Q4_K_M, Q4_K_M, hf:unsloth/Qwen3-30B-A3B-GGUF/Qwen3-30B-A3B-Q4_K_M.gguf
rem Rig:      single-3060
rem Engine:   llama-server (flags of the newest release)
rem Plan:     context 16384, 49 layers on GPUs
rem Device:   CUDA0 RTX 3060: 48 layers and the output layer, 2.88 GiB of 11.52 GiB free
rem Remake:   splitter script --profile moe-in-ram -o launchers
pushd "%~dps0" 2>nul
cd /d "%~dp0" 2>nul
set "CUDA_DEVICE_ORDER=PCI_BUS_ID"
set "FLAGS=--fit off -c 16384 --device CUDA0 -ngl 49 -b 2048 -ub 1024 -ctk f16 -ctv f16 -fa auto -cmoe -np 1 --host 127.0.0.1 --port 8080 --webui --cors-origins localhost"
set ENGINE_AT=none
for %%I in ("llama-server.exe") do if not "%%~$PATH:I"=="" set ENGINE_AT=on_path
if exist "llama-server.exe" set ENGINE_AT=beside
if %ENGINE_AT%==none goto no_engine
set MODEL_AT=none
if exist "Qwen3-30B-A3B-Q4_K_M.gguf" set MODEL_AT=beside
if %MODEL_AT%==none goto no_model
if defined SPLITTER_NO_BROWSER goto launch
if not exist "%SystemRoot%\System32\curl.exe" goto launch
start "opens the chat page" /min cmd /c "for /l %%I in (1,1,900) do @(curl -fs -o nul http://127.0.0.1:8080/health && start http://127.0.0.1:8080 && exit) & ping -n 2 127.0.0.1 >nul"
:launch
goto %ENGINE_AT%_%MODEL_AT%
:beside_beside
".\llama-server.exe" -m "Qwen3-30B-A3B-Q4_K_M.gguf" %FLAGS%
goto ended
:on_path_beside
"llama-server.exe" -m "Qwen3-30B-A3B-Q4_K_M.gguf" %FLAGS%
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
echo   beside this script: "Qwen3-30B-A3B-Q4_K_M.gguf"
echo   download it from: "https://huggingface.co/unsloth/Qwen3-30B-A3B-GGUF/resolve/main/Qwen3-30B-A3B-Q4_K_M.gguf"
set "CODE=1"
goto failed
:failed
if not defined SPLITTER_NO_PAUSE pause
:end
if defined CODEPAGE chcp %CODEPAGE% >nul
exit /b %CODE%
