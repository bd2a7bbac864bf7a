// Style and script of the HTML report. Everything is in the page: it is mailed, archived and opened without network.

export const STYLE = `
:root{color-scheme:light dark;--bg:#fbfbf9;--card:#fff;--ink:#1c2126;--soft:#5d6770;--line:#e3e5e3;--pass:#1a7f4b;--fail:#c0312b;
--skip:#8a8f94;--error:#9a3bb0;--accent:#20506b;--sent:#20506b;--received:#7a4a12;--code:#f3f4f1;--failbg:#fdf3f1}
@media(prefers-color-scheme:dark){:root{--bg:#14181b;--card:#1c2226;--ink:#e6e9eb;--soft:#9aa5ad;--line:#2c3439;--pass:#4cc38a;
--fail:#ff7a70;--skip:#7f8a92;--error:#d58be6;--accent:#7fc1e3;--sent:#7fc1e3;--received:#e2b272;--code:#161b1f;--failbg:#2a1d1d}}
*{box-sizing:border-box}
html{scroll-padding-top:64px}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:44px 24px 80px}
.kicker{margin:0;color:var(--soft);font-size:13px;letter-spacing:.06em;text-transform:uppercase}
h1{font-size:34px;line-height:1.2;margin:4px 0 6px;letter-spacing:-.015em}
h2{font-size:20px;margin:44px 0 12px}h2 span{font-weight:400}h3{font-size:15px;margin:26px 0 8px}
nav{display:flex;gap:18px;flex-wrap:wrap;margin:14px 0 0;font-size:14px}
p{margin:0 0 10px}.soft{color:var(--soft)}a{color:var(--accent)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:24px 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.card b{display:block;font-size:25px;line-height:1.25;font-variant-numeric:tabular-nums;white-space:nowrap}
.card span{display:block;color:var(--soft);font-size:13px;line-height:1.4}
.pass{color:var(--pass)}.fail{color:var(--fail)}.skip{color:var(--skip)}.error{color:var(--error)}
.wide{overflow-x:auto}
table{width:100%;border-collapse:separate;border-spacing:0;background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden}
th,td{text-align:left;padding:7px 12px;border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums;vertical-align:top}
tr:last-child td{border-bottom:0}th{font-size:12px;color:var(--soft);font-weight:600}
td.n,th.n{text-align:right;width:56px;padding-left:4px}td.w,th.w{padding-left:28px}td.w{vertical-align:middle}
.bar{display:flex;height:8px;border-radius:4px;overflow:hidden;background:var(--line);min-width:110px}
.bar i{display:block}.bar .p{background:var(--pass)}.bar .f{background:var(--fail)}.bar .s{background:var(--skip)}
.case,.list,.again{background:var(--card);border:1px solid var(--line);border-radius:8px;margin:6px 0}
.case summary,.list summary,.again{cursor:pointer;padding:9px 14px;display:flex;gap:12px;align-items:baseline;list-style:none}
.again{color:inherit;text-decoration:none}.again:hover{border-color:var(--accent)}
summary::-webkit-details-marker{display:none}summary:focus-visible{outline:2px solid var(--accent);border-radius:8px}
.list summary::before,.bytes summary::before{content:"▸";color:var(--soft)}
.list[open]>summary::before,.bytes[open]>summary::before{content:"▾"}
.o{font-weight:700;font-size:12px;width:44px;flex:none;text-transform:uppercase}summary .t,.again .t{flex:1}
summary code,.again code{font-size:12px;color:var(--soft)}
.in{padding:4px 14px 14px;border-top:1px solid var(--line)}
dl{display:grid;grid-template-columns:90px 1fr;gap:4px 12px;margin:12px 0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
dd.got{color:var(--fail)}dt.o{color:var(--ink);width:auto}dt.o.pass{color:var(--pass)}dt.o.fail{color:var(--fail)}dt.o.skip{color:var(--skip)}dt.o.error{color:var(--error)}
#failed~.case:not(.v) .in{background:var(--failbg);border-radius:0 0 8px 8px}
.bytes summary{display:inline-flex;gap:6px;cursor:pointer;padding:2px 0;color:var(--accent);list-style:none}
code,.ev{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.trace{background:var(--code);border-radius:8px;padding:10px 12px;overflow-x:auto;margin-top:6px}
.ev{display:grid;grid-template-columns:62px 18px 1fr;gap:0 8px}.ev .at{text-align:right;color:var(--soft)}
.ev .who{color:var(--soft)}.ev .hex{color:var(--soft);display:block;overflow-wrap:anywhere}
.ev.sent .x{color:var(--sent)}.ev.received .x{color:var(--received)}.ev.failed{color:var(--fail)}.ev.expected .x{color:var(--pass)}
.ev.closed .x,.ev.open .x{color:var(--soft)}.ev.note{font-style:italic}
.tools{position:sticky;top:0;background:var(--bg);padding:10px 0;display:flex;gap:8px;flex-wrap:wrap;z-index:1}
.tools input[type=search]{flex:1;min-width:200px;padding:7px 10px;border:1px solid var(--line);border-radius:8px;background:var(--card);color:var(--ink);font:inherit}
.tools label{padding:6px 10px;border:1px solid var(--line);border-radius:8px;background:var(--card);cursor:pointer}
footer{margin-top:56px;border-top:1px solid var(--line);padding-top:16px;font-size:14px}
.hidden{display:none}
@media(max-width:700px){h1{font-size:26px}.case summary code,.again code{display:none}dl{grid-template-columns:70px 1fr}td.w,th.w{display:none}}
@media print{.tools{display:none}.case{break-inside:avoid}}
`

export const SCRIPT = `
const search=document.querySelector('#search'),boxes=[...document.querySelectorAll('.tools input[type=checkbox]')]
const all=[...document.querySelectorAll('.v')]
function apply(){const words=search.value.toLowerCase().split(/\\s+/).filter(Boolean),on=new Set(boxes.filter(b=>b.checked).map(b=>b.value))
for(const d of all){const text=d.dataset.text;d.classList.toggle('hidden',!on.has(d.dataset.outcome)||!words.every(w=>text.includes(w)))}
for(const h of document.querySelectorAll('section.area'))h.classList.toggle('hidden',!h.querySelector('.v:not(.hidden)'))}
search.addEventListener('input',apply);for(const b of boxes)b.addEventListener('change',apply)
let traces
function unpack(){const text=document.getElementById('traces').textContent
const bytes=Uint8Array.from(atob(text),c=>c.charCodeAt(0))
return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).json()}
async function fill(d){const box=d.querySelector('[data-trace]');if(!box)return
try{box.innerHTML=(await(traces??=unpack()))[box.dataset.trace]}catch(e){box.textContent='This browser cannot unpack the trace: '+e}
box.removeAttribute('data-trace')}
for(const d of document.querySelectorAll('details.v'))d.addEventListener('toggle',()=>{if(d.open)fill(d)})
function go(){const d=document.getElementById(decodeURIComponent(location.hash.slice(1)));if(!d)return
if(d.tagName==='DETAILS')d.open=true;d.scrollIntoView()}
addEventListener('hashchange',go);if(location.hash)go()
`
