"""The report's one style sheet: light and dark, telephone and paper. Its hash stands in the page's security policy."""

import base64
import hashlib

# Okabe and Ito's order of hues, darkened or lightened until white (light) or near-black (dark) letters reach 4.5:1.
STYLE = """
:root{color-scheme:light dark;--page:#f3f5f8;--card:#fff;--ink:#14181f;--soft:#4b5462;--line:#dde2e8;--code:#f3f5f8;
--model:#0b63a5;--context:#b34700;--compute:#00705a;--overhead:#8a3f74;--margin:#c3c9d2;--free:#eceff3;--taken:#98a1ae;
--over:#bf1528;--predicted:#7b8491;--on:#fff;--on-grey:#14181f;--good:#00664f;--bad:#b01024;--l4:#5b6470;--l5:#7a6200;
--hatch:#fff;--edge:#aeb6c1}
@media screen and (prefers-color-scheme:dark){:root{
--page:#0d1015;--card:#161b22;--ink:#e8ecf1;--soft:#a9b3c0;--line:#2b323c;
--code:#0d1015;--model:#5cb0f2;--context:#f0975a;--compute:#3ecba5;--overhead:#dd9acb;--margin:#4a525e;--free:#1e252e;
--taken:#59616d;--over:#ff7b72;--predicted:#8a94a2;--on:#0d1015;--on-grey:#f4f6f9;--good:#4fd1a5;--bad:#ff8e86;
--l4:#b4bcc8;--l5:#e0c341;--hatch:#0d1015;--edge:#4d5663}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
main,header,footer{max-width:1040px;margin:0 auto;padding:0 20px}
header{padding-top:36px;padding-bottom:8px}
h1{font-size:30px;line-height:1.2;margin:2px 0 6px;letter-spacing:-.015em;overflow-wrap:anywhere;font-weight:650}
h2{font-size:19px;line-height:1.3;margin:0 0 2px;font-weight:640;overflow-wrap:anywhere}
h3{font-size:15px;margin:18px 0 8px;font-weight:600;overflow-wrap:anywhere}
p{margin:0}
.kind{color:var(--soft);font-size:13px;font-weight:600}
.about,.lead,.detail,.axis,footer{color:var(--soft)}
.about{overflow-wrap:anywhere}
.lead{margin-bottom:16px;font-size:14px}
.verdict{margin-top:12px;font-weight:600}
.good{color:var(--good)}
.bad{color:var(--bad)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(168px,1fr));gap:12px;margin:18px 0 12px;padding:0}
.figures div,section{background:var(--card);border:1px solid var(--line);border-radius:10px}
.figures div{padding:14px 16px;display:flex;flex-direction:column;min-width:0}
dt{font-size:13px;color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
dd.n{font-size:23px;font-weight:640;letter-spacing:-.01em;line-height:1.35}
dd.d{font-size:13px;color:var(--soft)}
section{padding:22px 24px 20px;margin:0 0 14px}
figure{margin:0 0 6px}
figure+figure{margin-top:26px}
svg{display:block;overflow:visible}
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--soft);
font-variant-numeric:tabular-nums}
.defs{position:absolute;width:0;height:0}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 12px;padding:0;font-size:13px;
color:var(--soft)}
.legend li{display:flex;align-items:center;gap:7px;overflow-wrap:anywhere;min-width:0}
.swatch{width:14px;height:14px;flex:none}
.swatch.wide{width:30px}
.bar{margin:0 0 16px}
.bar:last-child{margin-bottom:4px}
.head{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 16px;font-size:14px;margin-bottom:5px}
.head b{font-weight:600;overflow-wrap:anywhere}
.head span{font-variant-numeric:tabular-nums}
.detail{font-size:13px;margin-top:5px;overflow-wrap:anywhere}
.detail.bad{color:var(--bad)}
.axis{font-size:12px;margin:4px 0 0}
.axis.below{text-align:center;margin:0 0 8px}
.plot{padding:10px 18px 32px 46px;height:262px}
.f-model,.f-measured{fill:var(--model)}
.f-context{fill:var(--context)}
.f-compute{fill:var(--compute)}
.f-overhead{fill:var(--overhead)}
.f-margin{fill:var(--margin)}
.f-free{fill:var(--free);stroke:var(--edge)}
.f-taken{fill:var(--taken)}
.f-over{fill:var(--over)}
.f-predicted{fill:var(--predicted)}
.row rect,.swatch rect{stroke-width:1}
.row rect:not(.f-free):not(.p){stroke:var(--card);stroke-width:1.5}
.p{pointer-events:none}
.hatch{stroke:var(--hatch);stroke-width:1.3;fill:none;stroke-opacity:.42}
.hatch circle{fill:var(--hatch);stroke:none;fill-opacity:.6}
svg text.in{fill:var(--on);font-weight:600;paint-order:stroke;stroke-width:4px;stroke-linejoin:round;
pointer-events:none}
svg text.t-margin,svg text.t-taken,svg text.t-free{fill:var(--on-grey)}
.t-model{stroke:var(--model)}
.t-context{stroke:var(--context)}
.t-compute{stroke:var(--compute)}
.t-overhead{stroke:var(--overhead)}
.t-margin{stroke:var(--margin)}
.t-taken{stroke:var(--taken)}
.t-over{stroke:var(--over)}
.t-free{stroke:var(--free)}
.grid{stroke:var(--line)}
.base{stroke:var(--edge)}
.line{stroke-width:2;stroke-linecap:round}
.dash{stroke-dasharray:5 5}
.spread{stroke-width:1.5;stroke-opacity:.65}
.mark{stroke:var(--card);stroke-width:1.5}
.mark.hollow{fill:var(--card);stroke-width:1.5}
.whisker{stroke:var(--ink);stroke-width:1.5}
.whisker.edge{stroke:var(--card);stroke-width:5;stroke-linecap:square}
.ring{fill:none;stroke:var(--ink);stroke-width:1.5}
.failed{stroke:var(--bad);stroke-width:2;fill:none}
.l0{stroke:var(--model)}.l1{stroke:var(--context)}.l2{stroke:var(--compute)}.l3{stroke:var(--overhead)}
.l4{stroke:var(--l4)}.l5{stroke:var(--l5)}
.m0{fill:var(--model)}.m1{fill:var(--context)}.m2{fill:var(--compute)}.m3{fill:var(--overhead)}
.m4{fill:var(--l4)}.m5{fill:var(--l5)}
.hollow.m0{stroke:var(--model)}.hollow.m1{stroke:var(--context)}.hollow.m2{stroke:var(--compute)}
.hollow.m3{stroke:var(--overhead)}.hollow.m4{stroke:var(--l4)}.hollow.m5{stroke:var(--l5)}
details{margin-top:10px}
summary{cursor:pointer;font-size:13px;color:var(--soft);padding:4px 0;width:max-content}
summary:focus-visible,.scroll:focus-visible,pre:focus-visible{outline:2px solid var(--model);outline-offset:2px}
.scroll{overflow-x:auto;max-width:100%;position:relative}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;min-width:100%}
caption{text-align:left;color:var(--soft);padding:2px 0 6px}
section>.scroll caption,section>details>.scroll caption{position:absolute;width:1px;height:1px;overflow:hidden;
clip-path:inset(50%);white-space:nowrap}
th,td{padding:5px 12px 5px 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top}
th{font-weight:600;color:var(--soft)}
tbody th{color:var(--ink);font-weight:500}
.w,th:first-child{text-align:left}
.facts td,.facts th{white-space:normal;overflow-wrap:anywhere}
.facts tbody th{white-space:nowrap;width:1%;padding-right:24px}
ul.notes{margin:0;padding-left:20px}
.notes li{margin:3px 0;overflow-wrap:anywhere}
pre{margin:4px 0 14px;padding:12px 14px;background:var(--code);border:1px solid var(--line);border-radius:8px;
overflow-x:auto;font:12.5px/1.55 ui-monospace,SFMono-Regular,Consolas,"Liberation Mono",monospace;white-space:pre-wrap;
overflow-wrap:anywhere}
footer{font-size:13px;padding-top:8px;padding-bottom:40px}
@media(max-width:560px){main,header,footer{padding-left:12px;padding-right:12px}header{padding-top:22px}
h1{font-size:24px}section{padding:16px 14px}.figures{grid-template-columns:1fr 1fr;gap:8px}
.figures div{padding:10px 12px}
dd.n{font-size:19px}.plot{padding-left:40px;padding-right:14px}
.facts tbody th{white-space:normal;overflow-wrap:normal;padding-right:12px}}
@media print{:root{color-scheme:light}
body{background:#fff;font-size:11pt}section,.figures div{border-color:#bbb}
figure,.bar,.figures div,tr{break-inside:avoid}h2,h3{break-after:avoid}
details::details-content{content-visibility:visible;block-size:auto}summary{display:none}.scroll{overflow:visible}
table{font-size:8pt}th,td{white-space:normal;padding-right:6px}*{print-color-adjust:exact}}
""".strip()


def style_hash() -> str:
    """What a Content-Security-Policy calls this style sheet."""
    return "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
