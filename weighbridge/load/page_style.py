"""The look of the HTML report: light and dark by the reader's own setting, printable, no outside resource."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--ink:#16202c;--soft:#5b6776;--line:#dfe4ea;--grid:#e9edf1;
--c1:#2563c9;--c2:#e0822d;--c3:#1c9a76;--c4:#8a5cc4;--good:#17834f;--bad:#cf3341;--warn:#b97708;--heat:#1d4fa8}
@media (prefers-color-scheme:dark){:root{--ground:#0f141a;--card:#171e27;--ink:#e6ebf1;--soft:#93a1b1;--line:#2a3440;
--grid:#222c37;--c1:#6ea4ff;--c2:#f2a25c;--c3:#4ccca4;--c4:#b48ef0;--good:#4ccc8b;--bad:#ff7682;--warn:#f0b64a;--heat:#7db0ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
main{max-width:1160px;margin:0 auto;padding:36px 24px 56px}
header a{color:var(--c1);text-decoration:none;font-size:13px}
h1{font-size:30px;letter-spacing:-.02em;margin:0;font-weight:680}
h2{font-size:18px;letter-spacing:-.01em;margin:38px 0 12px;font-weight:640}
.target{font:15px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;margin:4px 0 0;overflow-wrap:anywhere}
.facts,.note,footer{color:var(--soft);font-size:13px;margin:4px 0 0}
.note+.scroll{margin-top:10px}
.verdict{margin:22px 0 16px;padding:14px 18px;border-radius:10px;background:var(--card);border:1px solid var(--line);border-left:5px solid var(--soft)}
.verdict p{margin:2px 0 0;color:var(--soft);font-size:13.5px}.verdict strong{font-size:16px}
.verdict.good{border-left-color:var(--good)}.verdict.bad{border-left-color:var(--bad)}.verdict.warn{border-left-color:var(--warn)}.verdict.live{border-left-color:var(--c1)}
.verdict.good strong{color:var(--good)}.verdict.bad strong{color:var(--bad)}.verdict.warn strong{color:var(--warn)}.verdict.live strong{color:var(--c1)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px;display:flex;flex-direction:column}
.tile b{font-size:27px;line-height:1.15;font-weight:660;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tile span{font-size:13px}.tile small{color:var(--soft);font-size:12.5px;min-height:1.5em}
.tile.good b{color:var(--good)}.tile.bad b{color:var(--bad)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(480px,100%),1fr));gap:14px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px 10px;break-inside:avoid}
figure.wide{margin-bottom:14px}figcaption{font-weight:600;font-size:14px;margin-bottom:4px}
figure>svg{width:100%;height:auto;display:block}
.grid{stroke:var(--grid);stroke-width:1;fill:none}.grid.faint{opacity:.6}.axis{stroke:var(--line);fill:none}
.tick,.label{font:11.5px system-ui,sans-serif;fill:var(--soft)}.rule{stroke:var(--soft);stroke-dasharray:3 3;fill:none;opacity:.75}.rule-text{fill:var(--ink)}
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}.dashed{stroke-dasharray:6 4}.area{opacity:.13;stroke:none}
.line.c1{stroke:var(--c1)}.line.c2{stroke:var(--c2)}.line.c3{stroke:var(--c3)}.line.c4{stroke:var(--c4)}.line.bad{stroke:var(--bad)}
.area.c1{fill:var(--c1)}.area.c2{fill:var(--c2)}.area.c3{fill:var(--c3)}.area.bad{fill:var(--bad)}
.dot{stroke:var(--card);stroke-width:1.5}.dot.good{fill:var(--good)}.dot.bad{fill:var(--bad)}
.band{fill:var(--soft);opacity:.09}.heat{fill:var(--heat)}
.legend{display:flex;gap:18px;flex-wrap:wrap;font-size:12.5px;color:var(--soft);margin:2px 0 4px}.legend svg{width:22px;height:8px;margin-right:6px}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
table.plain{background:var(--card);border:1px solid var(--line);border-radius:10px;border-spacing:0;border-collapse:separate;overflow:hidden}
th,td{text-align:right;padding:7px 14px;border-bottom:1px solid var(--grid);white-space:nowrap;font-weight:400}
thead th{color:var(--soft);font-size:12.5px}tbody th,thead th:first-child{text-align:left;font-weight:560}tbody tr:last-child>*{border-bottom:0}
.plain td{text-align:left}.plain td:last-child{text-align:right;color:var(--soft)}
.met td:first-child{color:var(--good);font-weight:600;width:90px}.missed td:first-child{color:var(--bad);font-weight:700;width:90px}
.added{font-weight:620}.words{text-align:left;color:var(--soft);white-space:normal;width:60%}
.bar{width:150px}.bar i{display:block;height:8px;border-radius:4px;background:var(--bad);min-width:2px}
code{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
footer{margin-top:36px}
@media print{body{background:#fff}.tile,figure,.scroll{border-color:#ccc}}
"""
