package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"hedgerow/e2e/lab"
	"hedgerow/e2e/wire"
)

// hostile are texts that a terminal, a log, a page or a parser may stumble over.
var hostile = map[string]string{
	"ansi":     "\x1b[2J\x1b[31mred\x1b]0;title\x07",
	"c1":       "\u009b31m\u0085",
	"crlf":     "one\r\ntime=now level=ERROR msg=\"forged\"",
	"override": "\u202egnp.exe\u2066\u200b\ufeff",
	"lines":    "a\u2028b\u2029c",
	"markup":   "<script>alert(1)</script><img src=x onerror=alert(1)>{{.}}",
	"link":     "javascript:alert(1)",
	"nul":      "a\x00b",
	"formula":  `=cmd|' /C calc'!A0`,
	"sql":      `'; DROP TABLE objects; --`,
	"format":   "%s%n%!d(MISSING)",
	"long":     strings.Repeat("A", 1<<20),
	"astral":   "\U000e0041\U0001f4a9",
}

// in is text as a JSON string.
func in(text string) string {
	b, _ := json.Marshal(text) // a string
	return string(b)
}

func hostileMap() string {
	b, _ := json.Marshal(hostile)
	return string(b)
}

// switchWith is a Switch as an API server lists it.
func switchWith(name, metadata, spec string) string {
	return fmt.Sprintf(`{"apiVersion":"wiring.githedgehog.com/v1beta1","kind":"Switch","metadata":{"name":%s,"namespace":"default","uid":%s,"resourceVersion":"1","creationTimestamp":"2026-01-01T00:00:00Z"%s},"spec":%s}`,
		in(name), in("uid-"+fmt.Sprint(len(name))+"-"+fmt.Sprint(len(spec))), metadata, spec)
}

// clean asserts that a text would do nothing to a terminal or a log, whatever
// was in it.
func clean(t *testing.T, what, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s is not UTF-8", what)
	}
	for i, c := range text {
		if c == '\n' {
			continue
		}
		if unicode.IsControl(c) || unicode.In(c, unicode.Cf, unicode.Zl, unicode.Zp) {
			t.Errorf("%s holds a raw %U near %q", what, c, text[max(0, i-40):min(len(text), i+40)])
			return
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "time=now level=ERROR") {
			t.Errorf("%s holds a forged line: %s", what, line)
		}
	}
}

// tour runs every command that shows something of a fabric, at debug level,
// and returns what they print, by command.
func (f fabric) tour(kind, name string) map[string]string {
	f.Helper()
	out := map[string]string{}
	run := f.status().lastRun(f)
	for _, args := range [][]string{
		{"get", kind},
		{"get", kind, "-o", "wide", "--show-labels"},
		{"get", kind, "-o", "json"},
		{"get", kind, "-o", "yaml"},
		{"get", kind, "-o", "name"},
		{"get", kind, "-A"},
		{"describe", kind, name},
		{"get", kind, name, "-o", "yaml"},
		{"history", kind},
		{"history", "--diff"},
		{"history", "--diff", "-o", "json"},
		{"status"},
		{"status", "-o", "json"},
		{"runs"},
		{"runs", "-o", "json"},
		{"run", "show", run},
		{"run", "show", run, "-o", "json"},
		{"fabric", "list"},
		{"fabric", "show", "f"},
		{"fabric", "show", "f", "-o", "json"},
		{"fabric", "test", "f"},
		{"fabric", "test", "f", "-o", "json"},
		{"sync", "f"},
		{"sync", "f", "-o", "json"},
		{"sync", "f", "--log-format", "json"},
	} {
		switch args[0] {
		case "get", "describe", "history":
			if args[len(args)-1] != "-A" {
				args = append(args, "-F", "f")
			}
		}
		got := f.Hedgerow.Run(f.T, append(args, "--log-level", "debug")...)
		if got.Code != 0 && got.Code != 3 {
			f.Errorf("hedgerow %s: exit %d\n%s", strings.Join(args, " "), got.Code, clip(got.Stderr))
		}
		out[strings.Join(args, " ")] = got.Stdout + "\n" + got.Stderr
	}
	return out
}

func clip(s string) string { return s[:min(len(s), 2000)] }

func (statusDoc) lastRun(f fabric) string {
	f.Helper()
	var runs []runDoc
	f.JSON(f.T, &runs, []string{"runs", "-F", "f", "-o", "json"})
	return fmt.Sprint(runs[0].ID)
}

// S14, S17, S37: objects that mean harm are shown harmlessly, or refused one by
// one; the others of their list are read.
func TestFaultHostileObjects(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf")
	f := join(t, cluster.Kubeconfig)
	deep := func(n int) string {
		return `{"a":` + strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) + `,"b":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	readable := []string{
		switchWith("texts", `,"labels":`+hostileMap()+`,"annotations":{"hhfab.githedgehog.com/x":`+in(hostile["ansi"])+`,`+in("a\x1b[31m/b")+`:"c"}`,
			`{"description":`+in(hostile["ansi"])+`,"role":`+in(hostile["crlf"])+`,"asn":1,"profile":`+in(hostile["override"])+`,"groups":[`+in(hostile["ansi"])+`,`+in(hostile["long"])+`],"x":`+hostileMap()+`}`),
		switchWith("deep", "", deep(150)),
		switchWith("keys", "", `{`+in(hostile["ansi"])+`:{`+in(hostile["override"])+`:1},`+in(hostile["long"])+`:`+in(hostile["nul"])+`}`),
		switchWith("wrong-types", "", `"not an object"`),
	}
	refused := []string{
		switchWith("deeper", "", deep(500)),
		switchWith("deepest", "", deep(9900)),
		switchWith("twice", "", `{"description":"a","description":"b"}`),
		strings.Replace(switchWith("other-kind", "", `{}`), `"kind":"Switch"`, `"kind":`+in(hostile["ansi"]+hostile["long"]), 1),
		switchWith("labels", `,"labels":{"a":"b"},"generation":"three"`, `{}`),
		switchWith("no-text", `,"annotations":{"a":1}`, `{}`),
		switchWith("a\x1b[2Jb", "", `{}`),
		switchWith("a\x00b", "", `{}`),
		switchWith("../../secrets", "", `{}`),
		switchWith(strings.Repeat("n", 1<<20), "", `{}`),
		strings.Replace(switchWith("bad-utf8", "", `{"description":"XX"}`), "XX", "\xff\xfe\x9b31m", 1),
		`{"spec":{"description":"` + "\xff" + `"},"apiVersion":"v1","kind":"Switch","metadata":{"name":"bad-utf8-first"}}`,
		switchWith("same-name", "", `{}`), // a second object of the name below
	}
	readable = append(readable, switchWith("same-name", "", `{"description":"first"}`))
	f.Set(wire.Rule{Path: list("switches"), Do: wire.Inject(append(readable, refused...)...)})

	r, code := f.sync("--log-level", "debug")
	k := r.kind("switches")
	want := countsDoc{Listed: 7 + len(readable) + len(refused), Created: len(readable), Unchanged: 7, Failed: len(refused)}
	if code != 3 || r.Outcome != "partial" || k.countsDoc != want || k.Verdict != "complete" {
		t.Errorf("exit %d, %s (%s), switches %s %+v, want %+v\n%s", code, r.Outcome, r.Message, k.Verdict, k.countsDoc, want, strings.Join(k.Unreadable, "\n"))
	}
	f.says("the run", r.Message, fmt.Sprintf("%d objects of switches could not be read", len(refused)))
	for _, sentence := range k.Unreadable {
		if len(sentence) > 1000 {
			t.Errorf("a sentence of %d bytes: %s…", len(sentence), sentence[:100])
		}
	}
	for _, o := range r.Kinds {
		if o.Plural != "switches" && (o.Verdict != "complete" || o.Failed != 0 || o.Listed != reference[o.Plural]) {
			t.Errorf("another kind took harm: %+v", o)
		}
	}
	if got := f.names("switches"); len(got) != 7+len(readable) {
		t.Errorf("get shows %d switches: %v", len(got), got)
	}
	for cmd, out := range f.tour("switches", "texts") {
		clean(t, cmd, out)
	}
	for _, name := range []string{"deep", "keys", "wrong-types"} {
		clean(t, "describe "+name, f.OK(t, "describe", "switch", name, "-F", "f"))
		clean(t, "get "+name+" -o yaml", f.OK(t, "get", "switch", name, "-F", "f", "-o", "yaml"))
	}
	// What was made harmless to show is what it was.
	var o struct{ Spec map[string]any }
	f.JSON(t, &o, []string{"get", "switch", "texts", "-F", "f", "-o", "json"})
	for what, text := range hostile {
		if got := o.Spec["x"].(map[string]any)[what]; got != text && what != "astral" {
			t.Errorf("%s reads back as %.80q", what, got)
		}
	}
	// Nothing is written twice for it, and it goes without a trace of harm.
	if r, _ = f.sync(); r.Counts.Created+r.Counts.Updated+r.Counts.Deleted != 0 || r.VersionAfter != r.VersionBefore {
		t.Errorf("a second pass: %+v, version %d to %d", r.Counts, r.VersionBefore, r.VersionAfter)
	}
	f.Clear()
	if r, code = f.sync(); code != 0 || r.Counts.Deleted != len(readable) || r.Counts.Listed != referenceTotal {
		t.Errorf("once they are gone: exit %d, %s (%s), %+v", code, r.Outcome, r.Message, r.Counts)
	}
}

// S38: what a switch hears from its neighbours, anybody may have sent.
func TestFaultHostileNeighbours(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf")
	f := join(t, cluster.Kubeconfig)
	neighbour := `{"sysName":` + in(hostile["ansi"]) + `,"sysDescr":` + in(hostile["crlf"]) + `,"portDescr":` + in(hostile["override"]) + `,"chassisID":` + in(hostile["markup"]) + `}`
	agent := `{"apiVersion":"agent.githedgehog.com/v1beta1","kind":"Agent","metadata":{"name":"leaf-01","namespace":"default","uid":"a-1","resourceVersion":"1","generation":3,"creationTimestamp":"2026-01-01T00:00:00Z"},
		"status":{"lastAppliedGen":3,"lastHeartbeat":` + in(hostile["ansi"]) + `,"version":` + in(hostile["crlf"]) + `,"state":{"nos":{"softwareVersion":` + in(hostile["c1"]) + `},
		"interfaces":{"E1/1":{"oper":"up","lldpNeighbors":[` + neighbour + `]},` + in("E1/2"+hostile["ansi"]) + `:{"oper":"up","lldpNeighbors":[` + neighbour + `]}}}}}`
	f.Set(wire.Rule{Path: list("agents"), Do: wire.Inject(agent)})
	r, code := f.sync()
	if code != 0 || r.kind("agents").Created != 1 {
		t.Errorf("exit %d, %s (%s), %+v", code, r.Outcome, r.Message, r.kind("agents"))
	}
	out := f.tour("agents", "leaf-01")
	for cmd, text := range out {
		clean(t, cmd, text)
	}
	if yaml := out["get agents leaf-01 -o yaml -F f"]; !strings.Contains(yaml, `\e[2J`) || !strings.Contains(yaml, "<script>") {
		t.Errorf("the neighbours are not shown at all:\n%s", clip(yaml))
	}
}

// Discovery is hostile text as well: it goes into tables, into paths and into
// the manifest that an administrator applies.
func TestFaultHostileDiscovery(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf")
	f := join(t, cluster.Kubeconfig)
	group := func(group, version, kind, plural string) string {
		return fmt.Sprintf(`{"apiVersion":"apidiscovery.k8s.io/v2","kind":"APIGroupDiscoveryList","metadata":{},"items":[{"metadata":{"name":%s},"versions":[{"version":%s,"freshness":"Current","resources":[{"resource":%s,"responseKind":{"kind":%s},"scope":"Namespaced","singularResource":"x","verbs":["list","get","watch"]}]}]}]}`,
			in(group), in(version), in(plural), in(kind))
	}
	const v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
	for _, body := range []string{
		group(hostile["ansi"]+".githedgehog.com", "v1", "Switch", "switches"),
		group("evil]\n  verbs: [\"*\"]\n- apiGroups: [x.githedgehog.com", "v1", "Switch", "switches"),
		group("wiring.githedgehog.com", "../../..", "Switch", "switches"),
		group("wiring.githedgehog.com", "v1", hostile["crlf"], "switches"),
		group("wiring.githedgehog.com", "v1", "Switch", "../../../../api/v1/secrets"),
		group("wiring.githedgehog.com", "v1", "Switch", "x]\n  verbs: [\"*\"]"),
	} {
		f.Set(wire.Rule{Path: "/apis", Do: wire.Answer(200, v2, body)}, wire.Rule{Path: "/apis/authorization.k8s.io/*/*", Do: wire.Status(201, "no")})
		f.Requests()
		r, code := f.sync()
		w := fault{exit: 1, code: "garbage", all: failed("garbage"), says: []string{"HOST says that it serves", "cannot be the name of an API"}}
		w.check(f, r, code)
		for _, q := range f.Requests() {
			if strings.Contains(q.Path, "secrets") || strings.Contains(q.Path, "..") {
				t.Errorf("it asked for %s", q.Path)
			}
		}
		got := f.Hedgerow.Run(t, "fabric", "test", "f", "--log-level", "debug")
		clean(t, "fabric test", got.Stdout+got.Stderr)
		if got.Code == 0 || strings.Contains(got.Stdout, `verbs: ["*"]`) {
			t.Errorf("fabric test: exit %d\n%s", got.Code, got.Stdout)
		}
	}
	f.intact()
	f.Clear()
	f.whole()
}
