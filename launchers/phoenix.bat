@echo off
setlocal EnableExtensions DisableDelayedExpansion
rem Written by splitter 0.1.0: starts a planned engine; can be run from any folder.
rem Model:    Qwen2.5-32B-Instruct-Q4_K_M, Q4_K_M, hf:bartowski/Qwen2.5-32B-Instruct-GGUF/Qwen2.5-32B-Instruct-Q4_K_M.gguf
rem Rig:      phoenix
rem Engine:   koboldcpp (flags of the newest release)
rem Plan:     context 4096, 65 layers on GPUs
rem Device:   CUDA1 RTX 2080: 40 layers, 7.11 GiB of 7.62 GiB free
rem Device:   CUDA2 GTX 1060 6GB: 18 layers, 5.26 GiB of 5.76 GiB free
rem Device:   CUDA0 GTX 1050 Ti: 6 layers and the output layer, 3.11 GiB of 3.81 GiB free
rem Remake:   splitter script --profile phoenix -o launchers
pushd "%~dps0" 2>nul
cd /d "%~dp0" 2>nul
set "CUDA_DEVICE_ORDER=PCI_BUS_ID"
set "CUDA_VISIBLE_DEVICES=1,2,0"
set "FLAGS=--usecuda normal --gpulayers 65 --tensor_split 40 18 7 --contextsize 4096 --batchsize 512 --ubatchsize 512"
set "FLAGS2=--threads 12 --host 127.0.0.1 --port 5001 --skiplauncher --quiet"
set ENGINE_AT=none
for %%I in ("koboldcpp.exe") do if not "%%~$PATH:I"=="" set ENGINE_AT=on_path
set "ENGINE_NAME="
for %%E in (koboldcpp_nocuda.exe koboldcpp-nocuda.exe koboldcpp_rocm.exe koboldcpp_oldcpu.exe koboldcpp-oldpc.exe koboldcpp_cu12.exe) do if exist "%%E" set "ENGINE_NAME=%%E"
if defined ENGINE_NAME set ENGINE_AT=variant
if exist "koboldcpp.exe" set ENGINE_AT=beside
if %ENGINE_AT%==none goto no_engine
set MODEL_AT=none
if exist "Qwen2.5-32B-Instruct-Q4_K_M.gguf" set MODEL_AT=beside
if %MODEL_AT%==none goto no_model
if defined SPLITTER_NO_BROWSER goto launch
if not exist "%SystemRoot%\System32\curl.exe" goto launch
start "opens the chat page" /min cmd /c "for /l %%I in (1,1,900) do @(curl -fs -o nul http://127.0.0.1:5001/api/extra/version && start http://127.0.0.1:5001 && exit) & ping -n 2 127.0.0.1 >nul"
:launch
goto %ENGINE_AT%_%MODEL_AT%
:beside_beside
".\koboldcpp.exe" --model "Qwen2.5-32B-Instruct-Q4_K_M.gguf" %FLAGS% --overridetensors "blk\.(0|1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20|21|40|41)\.(ffn_down|ffn_gate|ffn_up)\.weight=CPU,blk\.(42)\.(ffn_gate)\.weight=CPU" %FLAGS2%
goto ended
:variant_beside
".\%ENGINE_NAME%" --model "Qwen2.5-32B-Instruct-Q4_K_M.gguf" %FLAGS% --overridetensors "blk\.(0|1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20|21|40|41)\.(ffn_down|ffn_gate|ffn_up)\.weight=CPU,blk\.(42)\.(ffn_gate)\.weight=CPU" %FLAGS2%
goto ended
:on_path_beside
"koboldcpp.exe" --model "Qwen2.5-32B-Instruct-Q4_K_M.gguf" %FLAGS% --overridetensors "blk\.(0|1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20|21|40|41)\.(ffn_down|ffn_gate|ffn_up)\.weight=CPU,blk\.(42)\.(ffn_gate)\.weight=CPU" %FLAGS2%
goto ended
:ended
set "CODE=%ERRORLEVEL%"
if "%CODE%"=="0" goto end
echo.
echo The engine ended with exit code %CODE%; its last lines above say why.
goto failed
:no_engine
echo The engine was not found.
echo   beside this script: "koboldcpp.exe or koboldcpp_cu12.exe or koboldcpp-oldpc.exe or koboldcpp_oldcpu.exe or koboldcpp_rocm.exe or koboldcpp-nocuda.exe or koboldcpp_nocuda.exe"
echo   on PATH: "koboldcpp.exe"
echo   download it from: "https://github.com/LostRuins/koboldcpp/releases"
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
