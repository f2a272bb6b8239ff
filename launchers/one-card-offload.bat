@echo off
setlocal EnableExtensions DisableDelayedExpansion
rem Written by splitter 0.1.0: starts a planned engine; can be run from any folder.
rem Model:    Qwen2.5-32B-Instruct-Q4_K_M, Q4_K_M, hf:bartowski/Qwen2.5-32B-Instruct-GGUF/Qwen2.5-32B-Instruct-Q4_K_M.gguf
rem Rig:      single-3060
rem Engine:   llama-server (flags of the newest release)
rem Plan:     context 8192, 62 layers on GPUs
rem Device:   CUDA0 RTX 3060: 61 layers and the output layer, 10.93 GiB of 11.52 GiB free
rem Remake:   splitter script --profile one-card-offload -o launchers
pushd "%~dps0" 2>nul
cd /d "%~dp0" 2>nul
set "CUDA_DEVICE_ORDER=PCI_BUS_ID"
set "FLAGS=--fit off -c 8192 --device CUDA0 -ngl 62 -b 2048 -ub 512 -ctk f16 -ctv f16 -fa auto"
set "FLAGS2=-np 1 --host 127.0.0.1 --port 8080 --webui --cors-origins localhost"
set ENGINE_AT=none
for %%I in ("llama-server.exe") do if not "%%~$PATH:I"=="" set ENGINE_AT=on_path
if exist "llama-server.exe" set ENGINE_AT=beside
if %ENGINE_AT%==none goto no_engine
set MODEL_AT=none
if exist "Qwen2.5-32B-Instruct-Q4_K_M.gguf" set MODEL_AT=beside
if %MODEL_AT%==none goto no_model
if defined SPLITTER_NO_BROWSER goto launch
if not exist "%SystemRoot%\System32\curl.exe" goto launch
start "opens the chat page" /min cmd /c "for /l %%I in (1,1,900) do @(curl -fs -o nul http://127.0.0.1:8080/health && start http://127.0.0.1:8080 && exit) & ping -n 2 127.0.0.1 >nul"
:launch
goto %ENGINE_AT%_%MODEL_AT%
:beside_beside
".\llama-server.exe" -m "Qwen2.5-32B-Instruct-Q4_K_M.gguf" %FLAGS% -ot "blk\.(3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20|21|22|23|24|25|26|27|28|29|30|31|32|33|34|35|36|37|38|39)\.(ffn_down|ffn_gate|ffn_up)\.weight=CPU" %FLAGS2%
goto ended
:on_path_beside
"llama-server.exe" -m "Qwen2.5-32B-Instruct-Q4_K_M.gguf" %FLAGS% -ot "blk\.(3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20|21|22|23|24|25|26|27|28|29|30|31|32|33|34|35|36|37|38|39)\.(ffn_down|ffn_gate|ffn_up)\.weight=CPU" %FLAGS2%
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
echo   beside this script: "Qwen2.5-32B-Instruct-Q4_K_M.gguf"
echo   download it from: "https://huggingface.co/bartowski/Qwen2.5-32B-Instruct-GGUF/resolve/main/Qwen2.5-32B-Instruct-Q4_K_M.gguf"
set "CODE=1"
goto failed
:failed
if not defined SPLITTER_NO_PAUSE pause
:end
if defined CODEPAGE chcp %CODEPAGE% >nul
exit /b %CODE%
