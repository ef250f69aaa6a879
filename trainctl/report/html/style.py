"""The style and the script of every page: constants, so that the page can allow exactly these by their SHA-256."""

import base64
import hashlib

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--card:#f6f7f9;--ink:#1c2024;--soft:#5b6570;--rule:#d9dee4;--accent:#2f6db3;
--warn:#8a4b00;--warnback:#fff3df;--grey:#8a8f96;--best:#c0393f;
--c0:#3d6cb0;--c1:#c8702f;--c2:#3d8a52;--c3:#b8434a;--c4:#7762ad;--c5:#84694f;--c6:#b75fa5;--c7:#2e8ba3;--c8:#94843a;--c9:#5a5cc0}
@media screen and (prefers-color-scheme:dark){:root{--paper:#15181c;--card:#1d2227;--ink:#e6e9ec;--soft:#9aa5b1;
--rule:#343b43;--accent:#7db2ee;--warn:#ffc36b;--warnback:#38280f;--grey:#8a929b;--best:#ff7b80;
--c0:#7ba7e6;--c1:#f0a068;--c2:#7cc792;--c3:#ef8087;--c4:#b09de6;--c5:#c3a68a;--c6:#e69ad6;--c7:#74c7dd;--c8:#d3c26f;--c9:#9fa2f5}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
header,main,footer,nav{max-width:68rem;margin:0 auto;padding:0 1.2rem}
header{padding-top:1.6rem}
h1{font-size:1.55rem;line-height:1.25;margin:.1rem 0 .2rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.2rem 0 .7rem;padding-top:.4rem;border-top:1px solid var(--rule)}
.kind,.lead,small,.note,figcaption small,footer{color:var(--soft)}
.kind{margin:0;font-size:.85rem;letter-spacing:.03em;text-transform:uppercase}
.lead{margin:.1rem 0 .6rem;overflow-wrap:anywhere}
nav ol{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;margin:.6rem 0 0;padding:.5rem 0;border-top:1px solid var(--rule)}
a{color:var(--accent);text-decoration:none}
a:hover,a:focus-visible{text-decoration:underline}
p{margin:.5rem 0;overflow-wrap:anywhere}
.warning{background:var(--warnback);color:var(--warn);border-left:4px solid currentColor;padding:.55rem .8rem;border-radius:3px}
p.plain,p.note{max-width:52rem}
.strong{font-weight:600}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;margin:1rem 0}
.card{margin:0;background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:.6rem .8rem}
.card dt{color:var(--soft);font-size:.85rem}
.card dd{margin:0;font-size:1.45rem;font-weight:600;line-height:1.3;overflow-wrap:anywhere}
.card small{display:block;font-size:.82rem;font-weight:400;line-height:1.35}
dl.facts{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.2rem 1.2rem;margin:.5rem 0}
.facts dt{color:var(--soft)}
.facts dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto;margin:.6rem 0 1rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}
p.caption{color:var(--soft);font-size:.92rem;margin:.6rem 0 0;break-after:avoid}
p.caption+.scroll{margin-top:.2rem}
th{text-align:left;font-weight:600;border-bottom:2px solid var(--rule)}
th,td{padding:.22rem .9rem .22rem 0;vertical-align:top;max-width:28rem;overflow-wrap:break-word}
td{border-bottom:1px solid var(--rule)}
.right{text-align:right;white-space:nowrap}th.right{white-space:normal}
td:first-child{min-width:6rem}
tr.best td{font-weight:600}
details{margin:.6rem 0}
summary{cursor:pointer;color:var(--accent)}
pre{background:var(--card);border:1px solid var(--rule);border-radius:4px;padding:.6rem .8rem;overflow-x:auto;margin:.25rem 0 .8rem;
font:13px/1.45 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
.line{display:block;min-height:1.2em}
.commands pre .line{white-space:pre-wrap;overflow-wrap:anywhere}
ul.tree{list-style:none;padding:0;margin:.5rem 0}
.d1{padding-left:1.5rem}.d2{padding-left:3rem}.d3{padding-left:4.5rem}.d4{padding-left:6rem}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,25rem),1fr));gap:1.4rem;align-items:start}
figure{margin:.4rem 0}
figcaption b{display:block}
figcaption small{display:block;overflow-wrap:anywhere}
.chart{position:relative;break-inside:avoid}
svg{display:block;max-width:100%;height:auto;overflow:visible}
.chart svg{width:100%;max-width:40rem}
.chart.square svg{max-width:24rem}
.empty{color:var(--soft);padding:2rem;text-align:center;border:1px dashed var(--rule)}
.tick,.label,.cell,.name{font:11px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--soft)}
.label{font-size:12px;fill:var(--ink)}
.grid{stroke:var(--rule);stroke-width:1}
.axis{stroke:var(--grey);stroke-width:1}
polyline{fill:none;stroke-linejoin:round;stroke-linecap:round;stroke-width:2;stroke:var(--c)}
.thin{stroke-width:1;stroke-opacity:.75}
.dashed{stroke-width:1.2;stroke-dasharray:5 4}
.dot{fill:var(--c);fill-opacity:.5}
.point,.bar{fill:var(--c)}
.mark{stroke:var(--best);stroke-width:1;stroke-dasharray:4 3}
.star{fill:var(--best);stroke:var(--paper);stroke-width:1}
.c0{--c:var(--c0)}.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}.c4{--c:var(--c4)}.c5{--c:var(--c5)}.c6{--c:var(--c6)}
.c7{--c:var(--c7)}.c8{--c:var(--c8)}.c9{--c:var(--c9)}.grey{--c:var(--grey)}.best{--c:var(--best)}
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1rem;list-style:none;margin:.2rem 0 0;padding:0;font-size:.85rem;color:var(--soft)}
.legend li{overflow-wrap:anywhere}
.key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em;background:var(--c)}
.cursor{stroke:var(--soft);stroke-width:1}
.ring{fill:var(--c);stroke:var(--paper);stroke-width:1.5}
.tip{position:absolute;z-index:2;pointer-events:none;background:var(--paper);
color:var(--ink);border:1px solid var(--grey);border-radius:4px;
padding:.25rem .5rem;font-size:.82rem;line-height:1.35;max-width:22rem;white-space:normal;box-shadow:0 2px 8px rgb(0 0 0/.18)}
.tip p{margin:0}
.tip[hidden]{display:none}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(7.5rem,1fr));gap:.9rem;margin:.6rem 0}
.gallery.pairs{grid-template-columns:repeat(auto-fill,minmax(14rem,1fr))}
.gallery figure{margin:0;break-inside:avoid}
.gallery img{width:100%;image-rendering:pixelated;border:1px solid var(--rule);border-radius:3px;background:#fff}
.gallery .two{display:flex;gap:.3rem}
.gallery .two img{width:calc(50% - .15rem)}
.gallery p{margin:.1rem 0 0;font-size:.82rem;line-height:1.35}
.drawing img{max-width:100%;height:auto;background:#fff;border-radius:4px}
/* Pictures are drawn on white: in the dark, light and dark change places, and hues stay. Pixels of data are not touched. */
@media screen and (prefers-color-scheme:dark){.drawing img{filter:invert(.89) hue-rotate(180deg)}}
.matrix .cell{text-anchor:middle;fill:var(--ink)}
.matrix .cell.dark{fill:var(--paper)}
.matrix rect{fill:var(--c0)}
.matrix rect.frame{fill:none;stroke:var(--rule)}
footer{border-top:1px solid var(--rule);margin-top:2.5rem;padding-top:.8rem;padding-bottom:2rem;font-size:.85rem}
@media (max-width:36rem){dl.facts{grid-template-columns:1fr;gap:0}.facts dd{margin-bottom:.45rem}h1{font-size:1.3rem}}
@media print{body{font-size:10.5pt}nav,.tip,.cursor{display:none}header,main,footer{max-width:none;padding-left:0;padding-right:0}
h2{break-after:avoid}tr,.card,pre{break-inside:avoid}
.charts{grid-template-columns:1fr 1fr}.scroll,pre{overflow:visible}pre{white-space:pre-wrap}
.cards{grid-template-columns:repeat(4,1fr)}.gallery{grid-template-columns:repeat(6,1fr)}.gallery.pairs{grid-template-columns:repeat(3,1fr)}
details pre{columns:3;font-size:8pt;break-inside:auto}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

# What a mouse, a finger or the arrow keys show at a chart. Text is only ever set as text.
SCRIPT = """
"use strict";
(function(){
const SVG="http://www.w3.org/2000/svg";
function make(name,set){const made=document.createElementNS(SVG,name);for(const key in set)made.setAttribute(key,set[key]);return made}
document.querySelectorAll("svg[data-hover]").forEach(function(svg){
  const stops=JSON.parse(svg.getAttribute("data-hover")),near=svg.hasAttribute("data-near");
  if(!stops.length)return;
  const layer=svg.querySelector(".hover"),box=svg.viewBox.baseVal,tip=document.createElement("div");
  tip.className="tip";tip.hidden=true;svg.parentNode.appendChild(tip);
  let shown=-1;
  function hide(){layer.replaceChildren();tip.hidden=true;shown=-1}
  function show(at){
    const stop=stops[at],lines=[];shown=at;layer.replaceChildren();
    if(!near)layer.appendChild(make("line",{x1:stop[0],x2:stop[0],y1:10,y2:box.height-42,"class":"cursor"}));
    stop[2].forEach(function(each){layer.appendChild(make("circle",{cx:stop[0],cy:each[1],r:4,"class":"ring "+each[0]}))});
    if(stop[1])lines.push([null,stop[1]]);
    stop[2].forEach(function(each){lines.push([each[0],each[2]])});
    tip.replaceChildren();
    lines.forEach(function(line){
      const row=document.createElement("p");
      if(line[0]){const key=document.createElement("span");key.className="key "+line[0];row.appendChild(key)}
      row.appendChild(document.createTextNode(line[1]));tip.appendChild(row)});
    tip.hidden=false;
    const area=svg.getBoundingClientRect(),frame=svg.parentNode.getBoundingClientRect(),scale=area.width/box.width;
    const left=area.left-frame.left+stop[0]*scale,width=tip.offsetWidth,room=frame.width-width;
    const wanted=left+12>room?left-width-12:left+12;
    tip.style.left=Math.max(0,Math.min(Math.max(0,room),wanted))+"px";
    tip.style.top=area.top-frame.top+8+"px";
  }
  function nearest(event){
    const area=svg.getBoundingClientRect(),x=(event.clientX-area.left)*box.width/area.width;
    const y=(event.clientY-area.top)*box.height/area.height;
    let best=0,least=Infinity;
    stops.forEach(function(stop,at){
      let away=Math.abs(stop[0]-x);
      if(near)away=Math.hypot(stop[0]-x,stop[2][0][1]-y);
      if(away<least){least=away;best=at}});
    show(best)}
  svg.addEventListener("pointermove",nearest);
  svg.addEventListener("pointerdown",nearest);
  svg.addEventListener("pointerleave",hide);
  svg.setAttribute("tabindex","0");
  svg.addEventListener("blur",hide);
  svg.addEventListener("keydown",function(event){
    const by=event.key==="ArrowRight"?1:event.key==="ArrowLeft"?-1:0;
    if(by){event.preventDefault();show(Math.max(0,Math.min(stops.length-1,shown<0?(by>0?0:stops.length-1):shown+by)))}
    if(event.key==="Escape")hide()});
});
window.addEventListener("beforeprint",function(){document.querySelectorAll("details").forEach(function(each){each.open=true})});
})();
"""


def source(content: str) -> str:
    """Return what a Content-Security-Policy calls an inline style or script."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


# Nothing is loaded, sent or run but what is in the page: its own images, its style, its script.
POLICY = (
    f"default-src 'none'; img-src data:; style-src {source(STYLE)}; script-src {source(SCRIPT)}; base-uri 'none';"
    " form-action 'none'"
)
