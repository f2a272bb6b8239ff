@echo off
setlocal EnableExtensions DisableDelayedExpansion
rem Written by splitter 0.1.0: starts a planned engine; can be run from any folder.
rem Model:    splitter tiny, Q8_0, ../examples/tiny.gguf
rem Rig:      any machine
rem Engine:   embedded (flags of the newest release)
rem Plan:     context 2048, 0 layers on GPUs
rem Remake:   splitter script --profile demo -o launchers
pushd "%~dps0" 2>nul
cd /d "%~dp0" 2>nul
set "FLAGS=--fit off -c 2048 --device none -ngl 0 -b 2048 -ub 512 -ctk f16 -ctv f16 -fa auto -np 1 --host 127.0.0.1 --port 8080 --webui --cors-origins localhost"
set ENGINE_AT=none
for %%I in ("python.exe") do if not "%%~$PATH:I"=="" set ENGINE_AT=on_path
if %ENGINE_AT%==none goto no_engine
set MODEL_AT=none
if exist "../examples/tiny.gguf" set MODEL_AT=planned
if exist "tiny.gguf" set MODEL_AT=beside
if %MODEL_AT%==none goto no_model
if defined SPLITTER_NO_BROWSER goto launch
if not exist "%SystemRoot%\System32\curl.exe" goto launch
start "opens the chat page" /min cmd /c "for /l %%I in (1,1,900) do @(curl -fs -o nul http://127.0.0.1:8080/health && start http://127.0.0.1:8080 && exit) & ping -n 2 127.0.0.1 >nul"
:launch
goto %ENGINE_AT%_%MODEL_AT%
:on_path_beside
"python.exe" -m splitter.engine.embedded.server -m "tiny.gguf" %FLAGS%
goto ended
:on_path_planned
"python.exe" -m splitter.engine.embedded.server -m "../examples/tiny.gguf" %FLAGS%
goto ended
:ended
set "CODE=%ERRORLEVEL%"
if "%CODE%"=="0" goto end
echo.
echo The engine ended with exit code %CODE%; its last lines above say why.
goto failed
:no_engine
echo The engine was not found.
echo   on PATH: "python.exe"
set "CODE=4"
goto failed
:no_model
echo The model was not found.
echo   beside this script: "tiny.gguf"
echo   at the planned place: "../examples/tiny.gguf"
set "CODE=1"
goto failed
:failed
if not defined SPLITTER_NO_PAUSE pause
:end
if defined CODEPAGE chcp %CODEPAGE% >nul
exit /b %CODE%
