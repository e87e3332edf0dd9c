package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hedgerow/e2e/lab"
	"hedgerow/e2e/wire"
)

// The reference fabric, by kind; every other kind of it is empty.
var reference = map[string]int{
	"connections": 26, "servers": 10, "switches": 7, "switchgroups": 3, "ipv4namespaces": 1, "vlannamespaces": 1,
}

const referenceTotal = 48

// quick are limits under which a fault shows soon. The pass deadline bounds
// every pass; the tests allow as much again as a slow machine may need.
var quick = []string{"--connect-timeout", "1s", "--request-timeout", "2s", "--pass-timeout", "20s"}

const passBound = 20*time.Second + 10*time.Second

// verdict is what a run proves of a kind.
type verdict struct{ Verdict, Code string }

var (
	complete  = verdict{"complete", ""}
	forbidden = verdict{"forbidden", "forbidden"}
	absent    = verdict{"absent", "not-served"}
)

func failed(code string) verdict { return verdict{"failed", code} }

// runDoc is a run as -o json shows it.
type runDoc struct {
	ID                     int64
	Outcome, Code, Message string
	VersionBefore          int64
	VersionAfter           int64
	Counts                 countsDoc
	Kinds                  []kindDoc
}

type countsDoc struct{ Listed, Created, Updated, Unchanged, Deleted, Failed int }

type kindDoc struct {
	countsDoc
	Plural, Verdict, Code, Message string
	Present                        int
	CompleteRun                    int64
	Requests                       int
	Unreadable                     []string
}

type statusDoc struct {
	Badge, Sentence string
	Objects         int
	Kinds           []struct {
		Plural, Verdict, Message string
		Objects                  int
	}
}

type eventDoc struct{ What, Kind, Name string }

// fabric is a Hedgerow with one fabric, "f", behind a proxy.
type fabric struct {
	*testing.T
	*lab.Hedgerow
	*wire.Proxy
}

// join adds a fabric for a cluster and makes a first, good pass.
func join(t *testing.T, kubeconfig string, flags ...string) fabric {
	t.Helper()
	f := fabric{t, lab.New(t, "HTTPS_PROXY=", "https_proxy="), wire.New(t, kubeconfig)}
	f.OK(t, slices.Concat([]string{"fabric", "add", "f", "--kubeconfig", f.Kubeconfig("")}, quick, flags)...)
	r, code := f.sync()
	if code != 0 || r.Outcome != "complete" {
		t.Fatalf("the first pass: exit %d, %s: %s", code, r.Outcome, r.Message)
	}
	return f
}

// sync makes a pass, which must end within its deadline.
func (f fabric) sync(args ...string) (r runDoc, code int) {
	f.Helper()
	return f.await(f.start(args...))
}

type pending struct {
	cmd       *exec.Cmd
	ctx       context.Context
	cancel    func()
	out, errs bytes.Buffer
}

func (f fabric) start(args ...string) *pending {
	f.Helper()
	p := &pending{}
	p.ctx, p.cancel = context.WithTimeout(context.Background(), passBound)
	p.cmd = f.Command(p.ctx, f.T, slices.Concat([]string{"sync", "f", "-o", "json"}, args)...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errs
	if err := p.cmd.Start(); err != nil {
		f.Fatal(err)
	}
	return p
}

func (f fabric) await(p *pending) (r runDoc, code int) {
	f.Helper()
	defer p.cancel()
	err := p.cmd.Wait()
	if p.ctx.Err() != nil {
		f.Fatalf("the pass did not end within its deadline of 20 s and 10 s more\n%s", &p.errs)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		f.Fatal(err)
	}
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		f.Fatalf("sync -o json: %v\n%s\n%s", err, &p.out, &p.errs)
	}
	return r, p.cmd.ProcessState.ExitCode()
}

func (f fabric) status() statusDoc {
	f.Helper()
	var all []statusDoc
	f.JSON(f.T, &all, []string{"status", "f", "-o", "json"})
	if len(all) != 1 {
		f.Fatalf("status -o json shows %d fabrics", len(all))
	}
	return all[0]
}

func (f fabric) events() []eventDoc {
	f.Helper()
	var all []eventDoc
	f.JSON(f.T, &all, []string{"history", "-F", "f", "--limit", "100000", "-o", "json"})
	return all
}

// names returns what get shows of some kinds, one line an object.
func (f fabric) names(kinds ...string) []string {
	f.Helper()
	return strings.Fields(f.OK(f.T, "get", strings.Join(kinds, ","), "-F", "f", "-o", "name"))
}

func (r runDoc) kind(plural string) kindDoc {
	for _, k := range r.Kinds {
		if k.Plural == plural {
			return k
		}
	}
	return kindDoc{Verdict: "(none)"}
}

// intact asserts that the record holds the whole reference fabric, and that
// its history tells of no deletion.
func (f fabric) intact() {
	f.Helper()
	if got := f.names(slices.Sorted(maps.Keys(reference))...); len(got) != referenceTotal {
		f.Errorf("get shows %d objects, want %d", len(got), referenceTotal)
	}
	events := f.events()
	if len(events) != referenceTotal {
		f.Errorf("history holds %d events, want the %d of the first pass", len(events), referenceTotal)
	}
	for _, e := range events {
		if e.What != "first seen" {
			f.Errorf("history: %s %s %s, though nothing happened to it", e.Kind, e.Name, e.What)
		}
	}
}

// says asserts that a sentence holds each fragment; HOST stands for the
// server's host and port.
func (f fabric) says(where, sentence string, fragments ...string) {
	f.Helper()
	for _, want := range fragments {
		want = strings.ReplaceAll(want, "HOST", strings.TrimPrefix(f.URL(), "https://"))
		if !strings.Contains(sentence, want) {
			f.Errorf("%s does not say %q:\n%s", where, want, sentence)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	clusters := []*lab.Cluster{lab.Vlab(t, "--fabric", "spine-leaf"), lab.Vlab(t, "--fabric", "spine-leaf")}
	for i, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			f := join(t, clusters[i%len(clusters)].Kubeconfig, fault.flags...)
			fault.strike(f)
			r, code := f.sync()
			fault.check(f, r, code)
			f.intact()
			f.Clear()
			f.whole()
		})
	}
}

// whole asserts that a pass proves everything, and that nothing moved.
func (f fabric) whole() {
	f.Helper()
	r, code := f.sync()
	if code != 0 || r.Outcome != "complete" || r.Counts != (countsDoc{Listed: referenceTotal, Unchanged: referenceTotal}) {
		f.Errorf("once the fault is gone: exit %d, %s (%s), %+v", code, r.Outcome, r.Message, r.Counts)
	}
}

func (w fault) check(f fabric, r runDoc, code int) {
	f.Helper()
	outcome := map[int]string{0: "complete", 1: "failed", 3: "partial"}[w.exit]
	if code != w.exit || r.Outcome != outcome || r.Code != w.code {
		f.Errorf("exit %d, %s, code %q; want exit %d, %s, code %q\n%s", code, r.Outcome, r.Code, w.exit, outcome, w.code, r.Message)
	}
	if c := r.Counts; c.Created+c.Updated+c.Deleted != 0 || !w.rewrites && r.VersionAfter != r.VersionBefore {
		f.Errorf("the run changed the record: %+v, version %d to %d", c, r.VersionBefore, r.VersionAfter)
	}
	if r.Outcome != "complete" {
		f.says("the run", r.Message, w.says...)
	}
	w.kindsOf(f, r)
	st := f.status()
	badge := "Error"
	if w.exit == 0 {
		badge = "In sync"
	} else {
		f.says("the status", st.Sentence, w.says...)
	}
	if st.Badge != badge || st.Objects != referenceTotal {
		f.Errorf("status: %s, %d objects; want %s, %d\n%s", st.Badge, st.Objects, badge, referenceTotal, st.Sentence)
	}
}

// kindsOf asserts the verdict on every kind, that each keeps its objects, and
// that people who look at one are told how old its proof is.
func (w fault) kindsOf(f fabric, r runDoc) {
	f.Helper()
	if len(r.Kinds) != 22 {
		f.Errorf("the run tells of %d kinds, want 22", len(r.Kinds))
	}
	warned := false
	some := map[string]int{}
	for _, k := range r.Kinds {
		want, ok := w.kinds[k.Plural]
		if !ok {
			want = w.all
		}
		got := verdict{k.Verdict, k.Code}
		if want.Verdict == "(some)" {
			if got != complete && got != failed(want.Code) {
				f.Errorf("%s: %v", k.Plural, got)
			}
			some[k.Verdict]++
		} else if got != want {
			f.Errorf("%s: %v, want %v (%s)", k.Plural, got, want, k.Message)
		}
		if k.Present != reference[k.Plural] {
			f.Errorf("%s: %d present, want %d", k.Plural, k.Present, reference[k.Plural])
		}
		switch {
		case k.Verdict == "complete" && k.CompleteRun != r.ID:
			f.Errorf("%s is complete, but proven by run %d", k.Plural, k.CompleteRun)
		case k.Verdict != "complete" && k.CompleteRun == r.ID:
			f.Errorf("%s is %s, but claims to be proven by this run", k.Plural, k.Verdict)
		case k.Verdict != "complete" && k.Message == "":
			f.Errorf("%s is %s without a word", k.Plural, k.Verdict)
		}
		if k.Verdict != "complete" && reference[k.Plural] > 0 && !warned {
			warned = true // one is enough: all take the same way
			got := f.Hedgerow.Run(f.T, "get", k.Plural, "-F", "f")
			if !strings.Contains(got.Stderr, "WARNING: the last reading of "+k.Plural) || !strings.Contains(got.Stderr, " proved ") {
				f.Errorf("get %s does not warn:\n%s", k.Plural, got.Stderr)
			}
			if lines := strings.Count(got.Stdout, "\n"); lines != 1+reference[k.Plural] {
				f.Errorf("get %s shows %d lines, want %d", k.Plural, lines, 1+reference[k.Plural])
			}
		}
	}
	if w.all.Verdict == "(some)" && (some["complete"] == 0 || some["failed"] == 0) {
		f.Errorf("verdicts %v, want some of each", some)
	}
}

// A fault that a pass recovers from must have struck to prove anything.
func TestFaultStrikes(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf")
	f := join(t, cluster.Kubeconfig, "--page-size", "5")
	for _, c := range []struct {
		rule  wire.Rule
		least int // requests for the list
	}{
		{wire.Rule{Path: list("switches"), Times: 1, Do: wire.Status(500, "boom")}, 3},
		{wire.Rule{Path: list("switches"), Times: 1, Do: wire.Status(429, "slow down", "Retry-After", "1")}, 3},
		{wire.Rule{Path: list("switches"), Times: 1, Do: wire.Cut(300)}, 3},
		{wire.Rule{Path: list("switches"), Times: 1, Do: wire.Drop}, 3},
		{wire.Rule{Path: list("connections"), Query: "continue=", Skip: 2, Times: 1, Do: wire.Status(410, "too old")}, 5},
	} {
		before := f.Dealt()
		f.Requests()
		f.Set(c.rule)
		f.whole()
		if f.Dealt() != before+1 {
			t.Errorf("the fault at %s struck %d times, want once", c.rule.Path, f.Dealt()-before)
		}
		if n := f.Count(c.rule.Path); n < c.least {
			t.Errorf("%d requests for %s, want at least %d", n, c.rule.Path, c.least)
		}
	}
}

// S7: a redirect is not followed, and what proves who we are goes nowhere else.
func TestFaultRedirect(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf")
	var reached atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		reached.Add(1)
		if q.Header.Get("Authorization") != "" {
			t.Error("the credential went to another host")
		}
		_, _ = w.Write([]byte(`{"kind":"SwitchList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}`))
	}))
	t.Cleanup(other.Close)
	for _, code := range []int{301, 302, 303, 307, 308} {
		f := join(t, cluster.Kubeconfig)
		w := fault{exit: 3, code: "garbage", all: complete, kinds: only("switches", failed("garbage")), says: []string{"list switches", fmt.Sprintf("HOST answers with a redirect (%d), which is not followed", code), "Give the URL of the API server itself"}}
		f.Set(wire.Rule{Path: list("switches"), Do: wire.Answer(code, "text/html", "moved", "Location", other.URL+"/apis")})
		r, exit := f.sync()
		w.check(f, r, exit)
		f.Set(wire.Rule{Do: wire.Answer(code, "text/html", "moved", "Location", other.URL+"/apis")})
		if got := f.Hedgerow.Run(t, "fabric", "test", "f"); got.Code != 1 || !strings.Contains(got.Stdout, "which is not followed") {
			t.Errorf("fabric test: exit %d\n%s", got.Code, got.Stdout)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests went to another host", n)
	}
}

// A name that does not resolve is a fault of the first layer.
func TestFaultName(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf")
	f := join(t, cluster.Kubeconfig)
	nowhere := wire.WriteKubeconfig(t, "https://no-such-host.invalid:6443", f.CA(), map[string]any{"token": f.Token()}, nil)
	f.OK(t, "fabric", "edit", "f", "--kubeconfig", nowhere)
	r, code := f.sync()
	w := fault{exit: 1, code: "dns", all: failed("dns"), says: []string{"no-such-host.invalid", "name servers"}}
	w.check(f, r, code)
	f.intact()
	f.OK(t, "fabric", "edit", "f", "--kubeconfig", f.Kubeconfig(""))
	f.whole()
}
