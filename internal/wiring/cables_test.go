package wiring_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"hedgerow"
	"hedgerow/internal/wiring"
)

func TestCables(t *testing.T) {
	for _, tc := range []struct {
		name, spec string
		want       []wiring.Cable
	}{
		{
			"fabric", `{"fabric":{"links":[{"leaf":{"ip":"172.30.128.1/31","port":"leaf-01/E1/8"},"spine":{"port":"spine-01/E1/1"}},{"leaf":{"port":"leaf-01/E1/9"},"spine":{"port":"spine-01/E1/2"}}]}}`,
			[]wiring.Cable{{wiring.End{"leaf", "leaf-01", "E1/8"}, wiring.End{"spine", "spine-01", "E1/1"}}, {wiring.End{"leaf", "leaf-01", "E1/9"}, wiring.End{"spine", "spine-01", "E1/2"}}},
		},
		{"unbundled", `{"unbundled":{"link":{"server":{"port":"server-03/enp2s1"},"switch":{"port":"leaf-01/E1/7"}}}}`, []wiring.Cable{{wiring.End{"server", "server-03", "enp2s1"}, wiring.End{"switch", "leaf-01", "E1/7"}}}},
		{
			"mclag domain", `{"mclagDomain":{"peerLinks":[{"switch1":{"port":"leaf-01/E1/1"},"switch2":{"port":"leaf-02/E1/1"}}],"sessionLinks":[{"switch1":{"port":"leaf-01/E1/3"},"switch2":{"port":"leaf-02/E1/3"}}]}}`,
			[]wiring.Cable{{wiring.End{"switch1", "leaf-01", "E1/1"}, wiring.End{"switch2", "leaf-02", "E1/1"}}, {wiring.End{"switch1", "leaf-01", "E1/3"}, wiring.End{"switch2", "leaf-02", "E1/3"}}},
		},
		{"external", `{"external":{"link":{"switch":{"port":"leaf-03/E1/1"}}}}`, []wiring.Cable{{A: wiring.End{"switch", "leaf-03", "E1/1"}}}},
		{"static external", `{"staticExternal":{"link":{"switch":{"ip":"1.2.3.4/24","port":"leaf-03/E1/45","subnets":["10.0.0.0/8"]}},"withinVPC":"vpc-02"}}`, []wiring.Cable{{A: wiring.End{"switch", "leaf-03", "E1/45"}}}},
		{"of a release to come", `{"warp":{"tubes":[{"near":{"port":"leaf-01/E1/1"},"far":{"port":"leaf-09/E1/2"}}]}}`, []wiring.Cable{{wiring.End{"far", "leaf-09", "E1/2"}, wiring.End{"near", "leaf-01", "E1/1"}}}},
		{"without a port", `{"unbundled":{"link":{"server":{"port":""},"switch":{"port":7}}}}`, nil},
		{"empty", `{}`, nil},
		{"another shape", `[1, "x", null]`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, err := wiring.Parse([]byte(`{"spec":` + tc.spec + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, wiring.Cables(v)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	for _, v := range []wiring.Tree{nil, "x", []any{}} {
		if got := wiring.Cables(v); got != nil {
			t.Errorf("%v has cables: %v", v, got)
		}
	}
}

func TestReadDevice(t *testing.T) {
	for _, tc := range []struct {
		kind, spec string
		want       wiring.Device
		ok         bool
	}{
		{"Switch", `{"role":"spine","description":"VS-06"}`, wiring.Device{Tier: wiring.Spine, Role: "spine", Description: "VS-06"}, true},
		{"Switch", `{"role":"server-leaf","redundancy":{"group":"eslag-1","type":"eslag"}}`, wiring.Device{Tier: wiring.Leaf, Role: "server-leaf", Group: "eslag-1"}, true},
		{"Switch", `{"role":7,"redundancy":"x"}`, wiring.Device{Tier: wiring.Leaf}, true},
		{"Server", `{}`, wiring.Device{Tier: wiring.Host}, true},
		{"Gateway", `{}`, wiring.Device{Tier: wiring.Edge}, true},
		{"External", `null`, wiring.Device{Tier: wiring.Edge}, true},
		{"VPC", `{}`, wiring.Device{}, false},
	} {
		v, err := wiring.Parse([]byte(`{"spec":` + tc.spec + `}`))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := wiring.ReadDevice(hedgerow.KindID{Kind: tc.kind}, v)
		if d := cmp.Diff(tc.want, got); d != "" || ok != tc.ok {
			t.Errorf("%s: %v (-want +got):\n%s", tc.kind, ok, d)
		}
	}
}

func TestAttachment(t *testing.T) {
	id := hedgerow.KindID{Kind: "ExternalAttachment"}
	v, err := wiring.Parse([]byte(`{"spec":{"connection":"leaf-03--external","external":"wan"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if c, e, ok := wiring.Attachment(id, v); c != "leaf-03--external" || e != "wan" || !ok {
		t.Errorf("%q, %q, %v", c, e, ok)
	}
	if _, _, ok := wiring.Attachment(id, map[string]any{}); ok {
		t.Error("of nothing")
	}
	if _, _, ok := wiring.Attachment(hedgerow.KindID{Kind: "External"}, v); ok {
		t.Error("of another kind")
	}
}
