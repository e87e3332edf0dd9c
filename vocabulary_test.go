package hedgerow_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hedgerow"
)

func TestPolicyValidate(t *testing.T) {
	for _, tc := range []struct {
		name string
		p    hedgerow.Policy
		want string // part of the message, "" for none
	}{
		{"defaults", hedgerow.Policy{}, ""},
		{"manual", hedgerow.Policy{Interval: hedgerow.Manual}, ""},
		{"shortest interval", hedgerow.Policy{Interval: 30 * time.Second}, ""},
		{"longest interval", hedgerow.Policy{Interval: 24 * time.Hour}, ""},
		{"interval too short", hedgerow.Policy{Interval: 30*time.Second - 1}, "interval 29.999999999s is out of range"},
		{"interval too long", hedgerow.Policy{Interval: 24*time.Hour + 1}, "out of range"},
		{"negative interval", hedgerow.Policy{Interval: -2}, "out of range"},
		{"negative connect timeout", hedgerow.Policy{ConnectTimeout: -1}, "timeout"},
		{"negative request timeout", hedgerow.Policy{RequestTimeout: -1}, "timeout"},
		{"negative pass timeout", hedgerow.Policy{PassTimeout: -1}, "timeout"},
		{"negative qps", hedgerow.Policy{QPS: -1}, "qps"},
		{"qps is not a number", hedgerow.Policy{QPS: math.NaN()}, "qps"},
		{"endless qps", hedgerow.Policy{QPS: math.Inf(1)}, "qps"},
		{"negative burst", hedgerow.Policy{Burst: -1}, "burst"},
		{"negative page", hedgerow.Policy{PageSize: -1}, "page size"},
		{"share of all", hedgerow.Policy{MaxDeleteShare: 1}, ""},
		{"share over all", hedgerow.Policy{MaxDeleteShare: 1.01}, "max delete share 1.01"},
		{"negative share", hedgerow.Policy{MaxDeleteShare: -0.1}, "max delete share"},
		{"share is not a number", hedgerow.Policy{MaxDeleteShare: math.NaN()}, "max delete share NaN"},
		{"poll", hedgerow.Policy{Mode: hedgerow.Poll}, ""},
		{"unknown mode", hedgerow.Policy{Mode: "follow"}, `mode "follow": use watch or poll`},
		{"negative floor", hedgerow.Policy{MaxDeleteFloor: -1}, "max delete floor"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.p.WithDefaults().Validate()
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || hedgerow.CodeOf(err) != hedgerow.CodeInvalid):
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestPolicyWithDefaults(t *testing.T) {
	if diff := cmp.Diff(hedgerow.DefaultPolicy, hedgerow.Policy{}.WithDefaults()); diff != "" {
		t.Errorf("of nothing (-want +got):\n%s", diff)
	}
	own := hedgerow.Policy{
		Interval: hedgerow.Manual, ConnectTimeout: 1, RequestTimeout: 2, PassTimeout: 3, QPS: 4, Burst: 5, PageSize: 6,
		MaxDeleteShare: 0.7, MaxDeleteFloor: 8, Exclude: []string{"agents"}, Mode: hedgerow.Poll,
	}
	if diff := cmp.Diff(own, own.WithDefaults()); diff != "" {
		t.Errorf("of a full one (-want +got):\n%s", diff)
	}
}

func TestValidFabricName(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "lab": true, "lab-1": true, "7": true, "dc1.eu-west": true, strings.Repeat("a", 63): true,
		"": false, strings.Repeat("a", 64): false, "-a": false, "a-": false, ".a": false, "a.": false, "A": false,
		"a_b": false, "a b": false, "a/b": false, "ä": false, "a\n": false, "a..b": false, "a.-b": false, "..": false,
	} {
		err := hedgerow.ValidFabricName(name)
		if (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
		if err != nil && hedgerow.CodeOf(err) != hedgerow.CodeInvalid {
			t.Errorf("%q: code %q", name, hedgerow.CodeOf(err))
		}
	}
}

func TestKindMatches(t *testing.T) {
	k := hedgerow.Kind{Group: "wiring.githedgehog.com", Version: "v1beta1", Kind: "Switch", Plural: "switches", Singular: "switch", ShortNames: []string{"sw"}}
	for word, want := range map[string]bool{
		"switch": true, "switches": true, "Switch": true, "SWITCHES": true, "sw": true, "SW": true,
		"switches.wiring.githedgehog.com": true, "sw.wiring": true, "Switch.wiring.githedgehog": true, "switch.Wiring": true,
		"switche": false, "s": false, "": false, ".": false, ".wiring": false, "sw.": false, "sw.wir": false, "sw.vpc": false,
		"sw.wiring.githedgehog.com.": false, "switches.githedgehog.com": false, "switchprofiles": false,
	} {
		if got := k.Matches(word); got != want {
			t.Errorf("%q: %t, want %t", word, got, want)
		}
	}
	bare := hedgerow.Kind{Group: "x", Kind: "Thing", Plural: "things", ShortNames: []string{""}}
	if bare.Matches("") || bare.Matches(".x") {
		t.Error("a kind without a singular matches nothing typed")
	}
}

func TestNames(t *testing.T) {
	for want, got := range map[string]string{
		"Switch lab/leaf-01":             hedgerow.Ref{Kind: "Switch", Namespace: "lab", Name: "leaf-01"}.String(),
		"Switch leaf-01":                 hedgerow.Ref{Group: "g", Kind: "Switch", Name: "leaf-01"}.String(),
		"Switch":                         hedgerow.Ref{Kind: "Switch"}.String(),
		"Switch.wiring.githedgehog.com":  hedgerow.KindID{Group: "wiring.githedgehog.com", Kind: "Switch"}.String(),
		"0100" + strings.Repeat("0", 60): hedgerow.Digest{1}.String(),
		"g/v1":                           hedgerow.Kind{Group: "g", Version: "v1"}.APIVersion(),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for group, want := range map[string]bool{"wiring.githedgehog.com": true, "githedgehog.com": false, "xgithedgehog.com": false, "apps": false, "wiring.githedgehog.com.evil.org": false} {
		if got := hedgerow.HedgehogGroup(group); got != want {
			t.Errorf("%s: %t", group, got)
		}
	}
}

func TestRunCounts(t *testing.T) {
	r := hedgerow.Run{Kinds: []hedgerow.KindEvidence{
		{Counts: hedgerow.Counts{Listed: 3, Created: 1, Unchanged: 2}},
		{Counts: hedgerow.Counts{Listed: 4, Updated: 1, Unchanged: 2, Deleted: 5, Failed: 1}},
	}}
	want := hedgerow.Counts{Listed: 7, Created: 1, Updated: 1, Unchanged: 4, Deleted: 5, Failed: 1}
	if diff := cmp.Diff(want, r.Counts()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !r.Counts().Changed() || (hedgerow.Counts{Listed: 2, Unchanged: 1, Failed: 1}).Changed() {
		t.Error("Changed is wrong")
	}
}
