# What jq has and jaq leaves out.
def IN(s): any(s == .; .);
def IN(source; s): any(source == s; .);
def INDEX(stream; f): reduce stream as $row ({}; .[$row | f | tostring] = $row);
def INDEX(f): INDEX(.[]; f);
def trimstr($x): ltrimstr($x) | rtrimstr($x);
def toarray: if isarray then . else [.] end;
def @csv:
  [.[] | if isstring then "\"" + gsub("\""; "\"\"") + "\""
    elif . == null then ""
    elif . >= [] then error("@csv takes no lists and objects")
    else tostring end] | join(",");
def @tsv:
  [.[] | if isstring then gsub("\\\\"; "\\\\") | gsub("\t"; "\\t") | gsub("\n"; "\\n") | gsub("\r"; "\\r")
    elif . == null then ""
    elif . >= [] then error("@tsv takes no lists and objects")
    else tostring end] | join("\t");
