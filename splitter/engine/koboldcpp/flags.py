"""Which flags koboldcpp has, how many values each takes (argparse's nargs) and from which release.

Read out of the argument parsers of 1.76, 1.115.1 and 1.123; releases in between from koboldcpp's history. `@1.77` on
a flag of no meaning here says only that 1.76 did not have it.
"""

from collections.abc import Mapping
from functools import cache

# dest, nargs (0 = takes no value), spellings with the release that brought each (none: before 1.60)
_TABLE = """
usecuda * --usecuda@1.96 --usecublas@1.33 --usehipblas@1.86.2
usevulkan * --usevulkan@1.56
usecpu 0 --usecpu@1.75
model + --model -m@1.99
config 1 --config
contextsize 1 --contextsize --ctx-size@1.99 -c@1.99
gpulayers ? --gpulayers --gpu-layers@1.99 --n-gpu-layers@1.99 -ngl@1.99
host 1 --host
launch 0 --launch
tensor_split + --tensor_split@1.37 --tensorsplit@1.98 --tensor-split@1.99 -ts@1.99
threads 1 --threads -t@1.99
port 1 --port
version 0 --version@1.77
agent 0 --agent@1.116
analyze 1 --analyze@1.77
autofit 0 --autofit@1.104 --fit@1.104 -fit@1.104
autofitpadding 1 --autofitpadding@1.108
batchsize 1 --batchsize@1.100.1 --blasbatchsize --batch-size@1.99 -b@1.99
ubatchsize 1 --ubatchsize@1.119 --ubatch-size@1.119 -ub@1.119
benchmark ? --benchmark
blasthreads 1 --blasthreads --batchthreads@1.77 --threadsbatch@1.77 --threads-batch@1.77
chatcompletionsadapter 1 --chatcompletionsadapter
cli 0 --cli@1.77
debugmode ? --debugmode
defaultgenamt 1 --defaultgenamt@1.77
device 1 --device@1.106 -dev@1.106
downloaddir 1 --downloaddir@1.77
draftamount 1 --draftamount@1.79 --draft-max@1.77 --draft-n@1.77 --spec-draft-n-max@1.118
draftgpulayers 1 --draftgpulayers@1.80 --gpu-layers-draft@1.77 --n-gpu-layers-draft@1.77 -ngld@1.99
draftgpusplit + --draftgpusplit@1.80
draftmodel 1 --draftmodel@1.79 --model-draft@1.99 -md@1.99
enableguidance 0 --enableguidance@1.77
exportconfig 1 --exportconfig@1.84.2
exporttemplate 1 --exporttemplate@1.85.1
failsafe 0 --failsafe@1.77
foreground 0 --foreground
gendefaults 1 --gendefaults@1.77
gendefaultsoverwrite 0 --gendefaultsoverwrite@1.77
genlimit 1 --genlimit@1.99 --promptlimit
highpriority 0 --highpriority
ignoremissing 0 --ignoremissing
jinja 0 --jinja@1.77 --jinja_tools@1.77 --jinja-tools@1.77 --jinjatools@1.77
jinja_kwargs 1 --jinja_kwargs@1.77 --jinja-kwargs@1.77 --jinjakwargs@1.77 --chat-template-kwargs@1.77
jinjatemplate 1 --jinjatemplate@1.77 --chat-template-file@1.77
jinjathink 1 --jinjathink@1.77
lora + --lora
loramult 1 --loramult@1.77
lowvram 0 --lowvram@1.100 -nkvo@1.100 --no-kv-offload@1.100
maingpu 1 --maingpu@1.93.2 --main-gpu@1.99 -mg@1.99
maxrequestsize 1 --maxrequestsize@1.77
mcpfile 1 --mcpfile@1.77
mmproj 1 --mmproj@1.61
mmprojcpu 0 --mmprojcpu@1.89 --no-mmproj-offload@1.99
moecpu ? --moecpu@1.97 --n-cpu-moe@1.97 -ncmoe@1.97
ffncpu ? --ffncpu@1.119 --n-cpu-ffn@1.119 -ncffn@1.119
moeexperts 1 --moeexperts@1.80
multiuser ? --multiuser
multiplayer 0 --multiplayer@1.77
nocertify 0 --nocertify
nofastforward 0 --nofastforward@1.78
noflashattention 0 --noflashattention@1.107 --no-flash-attn@1.107 -nofa@1.107
noavx2 0 --noavx2
nobostoken 0 --nobostoken@1.77
nommq 0 --nommq@1.113
nomodel 0 --nomodel
noshift 0 --noshift --no-context-shift@1.99
noswa 0 --noswa@1.114 --swa-full@1.114
onready 1 --onready
allow_config_onready 0 --allow-config-onready@1.116
overridekv 1 --overridekv@1.89 --override-kv@1.99
overridenativecontext 1 --overridenativecontext@1.77
overridetensors 1 --overridetensors@1.89 --override-tensor@1.99 -ot@1.99
parallelrequests 1 --parallelrequests@1.114 --continuous-batching@1.114 --contbatch@1.114
password 1 --password
preloadstory 1 --preloadstory
prompt 1 --prompt -p@1.77
quantkv 1 --quantkv@1.67
quiet 0 --quiet
ratelimit 1 --ratelimit@1.77
reasoningeffort 1 --reasoningeffort@1.77
remotetunnel 0 --remotetunnel
ropeconfig + --ropeconfig
savedatafile 1 --savedatafile@1.77
singleinstance 0 --singleinstance@1.92.1
smartcache ? --smartcache@1.103
smartcontext 0 --smartcontext
splitmode 1 --splitmode@1.113 -sm@1.113 --split-mode@1.113
ssl + --ssl
swapadding 1 --swapadding@1.112
unpack 1 --unpack
usemtp 0 --usemtp@1.115
usemlock 0 --usemlock --mlock@1.99
usemmap 0 --usemmap@1.82
usedirectio 0 --usedirectio@1.119 --directio@1.119 --direct-io@1.119 -dio@1.119
visionmaxres 1 --visionmaxres@1.77
visionmaxtokens 1 --visionmaxtokens@1.77 --image-max-tokens@1.77
visionmintokens 1 --visionmintokens@1.77 --image-min-tokens@1.77
websearch 0 --websearch@1.77
showgui 0 --showgui
skiplauncher 0 --skiplauncher
hordemodelname 1 --hordemodelname
hordeworkername 1 --hordeworkername
hordekey 1 --hordekey
hordemaxctx 1 --hordemaxctx
hordegenlen 1 --hordegenlen
sdaudiovae 1 --sdaudiovae@1.77
sdclamped ? --sdclamped
sdclampedsoft 1 --sdclampedsoft@1.77
sdclip1 1 --sdclip1@1.77 --sdclipl@1.77
sdclip2 1 --sdclip2@1.77 --sdclipg@1.77
sdclipdevice 1 --sdclipdevice@1.77
sdconvdirect 1 --sdconvdirect@1.77
sdflashattention 0 --sdflashattention@1.77
sdlora + --sdlora
sdloramult + --sdloramult
sdmaingpu 1 --sdmaingpu@1.77
sdmodel 1 --sdmodel
sdoffloadcpu 0 --sdoffloadcpu@1.77
sdphotomaker 1 --sdphotomaker@1.77
sdquant ? --sdquant
sdllm 1 --sdllm@1.116
sdthreads 1 --sdthreads
sdtiledvae 1 --sdtiledvae@1.77
sdupscaler 1 --sdupscaler@1.77
sdvae 1 --sdvae
sdvaeauto 0 --sdvaeauto
sdvaedevice 1 --sdvaedevice@1.77
sdvramlimit 1 --sdvramlimit@1.77
whispermodel 1 --whispermodel
ttsmodel 1 --ttsmodel@1.77
ttswavtokenizer 1 --ttswavtokenizer@1.77
ttsgpu 0 --ttsgpu@1.77
ttsmaxlen 1 --ttsmaxlen@1.77
ttsthreads 1 --ttsthreads@1.77
ttsdir 1 --ttsdir@1.77
musicllm 1 --musicllm@1.77
musicembeddings 1 --musicembeddings@1.77
musicdiffusion 1 --musicdiffusion@1.77
musicvae 1 --musicvae@1.77
musiclowvram 0 --musiclowvram@1.77
embeddingsmodel 1 --embeddingsmodel@1.77
embeddingsmaxctx 1 --embeddingsmaxctx@1.77
embeddingsgpu 0 --embeddingsgpu@1.77
rpcmode 1 --rpcmode@1.114
rpcport 1 --rpcport@1.114
rpchost 1 --rpchost@1.114
rpcdevice 1 --rpcdevice@1.114
rpctargets 1 --rpctargets@1.114
admin 0 --admin@1.83
adminpassword 1 --adminpassword@1.77
admindir 1 --admindir@1.77
adminunloadtimeout 1 --adminunloadtimeout@1.77
routermode 0 --routermode@1.110
reqtimeout 1 --reqtimeout@1.77
autoswapmode 0 --autoswapmode@1.111
autoswapthreshold 1 --autoswapthreshold@1.116
baseconfig 1 --baseconfig@1.112
hordeconfig + --hordeconfig
sdconfig + --sdconfig
noblas 0 --noblas
nommap 0 --nommap --no-mmap@1.99
nopipelineparallel 0 --nopipelineparallel@1.107
pipelineparallel 0 --pipelineparallel@1.104
sdnotile 0 --sdnotile@1.77
sdt5xxl 1 --sdt5xxl@1.77
sdvaecpu 0 --sdvaecpu@1.77
sdclipgpu 0 --sdclipgpu@1.77
forceversion 0 --forceversion
sdgendefaults 0 --sdgendefaults@1.77
flashattention 0 --flashattention@1.64 --flash-attn@1.99 -fa@1.99
useswa 0 --useswa@1.92
testmemory 0 --testmemory@1.77
run_bundled_agent 0 --run-bundled-agent@1.116 --run-agent@1.116
agent_base_url 1 --agent-base-url@1.116
agent_api_key 1 --agent-api-key@1.116
useclblast 2 --useclblast
"""

# argparse lets only one flag of each group stand in a command.
EXCLUSIVE = (
    ("model", "model_param"),
    ("port", "port_param"),
    ("usecuda", "usevulkan", "usecpu", "noblas", "useclblast"),
    ("usemmap", "usedirectio", "nommap"),
    ("showgui", "skiplauncher"),
)
# Flags whose optional value must be a whole number, and which therefore swallow a model name that follows them.
OPTIONAL_INTEGERS = ("multiuser", "smartcache", "debugmode")
REMOVED_AFTER: Mapping[str, str] = {"--useclblast": "1.106.2"}
BARE_VALUES: Mapping[str, int] = {"gpulayers": 1, "moecpu": 999, "ffncpu": 999}  # argparse's const


@cache
def kobold_flags() -> tuple[tuple[str, str, Mapping[str, str]], ...]:
    """Rows of (dest, nargs, spelling -> release), in the order of the table."""
    return tuple(_row(line) for line in _TABLE.strip().splitlines())


@cache
def kobold_spellings() -> Mapping[str, str]:
    """Each spelling of a flag -> the release that brought it ("": before 1.60)."""
    return {name: since for _, _, names in kobold_flags() for name, since in names.items()}


def _row(line: str) -> tuple[str, str, Mapping[str, str]]:
    dest, nargs, *names = line.split()
    return dest, nargs, {name.partition("@")[0]: name.partition("@")[2] for name in names}
