package wiring_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"hedgerow"
	"hedgerow/internal/crds"
	"hedgerow/internal/kinds"
	"hedgerow/internal/wiring"
)

func tree(t testing.TB, text string) wiring.Tree {
	t.Helper()
	v, err := wiring.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTexts(t *testing.T) {
	const v = `{
		"a":{"b":"1","list":["2",{"b":"3"},4,null,["5"]],"sub-1":{"b":"6"},"x/y":{"b":"7"},"":{"b":"8"}},
		"b":"9","n":5,"permit":[{"vpc-1":{},"vpc.2":{"subnets":["s"]}},"text",{}],"evil":{"\u001b[2J\"]\u202e":{"b":"10"}}}`
	for _, tc := range []struct {
		pattern string
		want    []string
	}{
		{"a.b", []string{"a.b=1"}},
		{"b", []string{"b=9"}},
		{"a", nil}, // not a text
		{"n", nil}, // neither
		{"a.none.b", nil},
		{"b.b", nil}, // through a text
		{"a.list", nil},
		{"a.list.*", []string{"a.list[0]=2"}},
		{"a.list.*.b", []string{"a.list[1].b=3"}},
		{"a.list.*.*", []string{"a.list[1].b=3", "a.list[4][0]=5"}},
		{"a.list.b", nil}, // a list has no keys
		{"a.*.b", []string{`a[""].b=8`, "a.sub-1.b=6", `a["x/y"].b=7`}},
		{"permit.*.@", []string{`permit[0]["vpc-1"]=vpc-1`, `permit[0]["vpc.2"]=vpc.2`}},
		{"permit.@", nil},
		{"permit.*.*.subnets.*", []string{`permit[0]["vpc.2"].subnets[0]=s`}},
		{"a.@.b", nil}, // a key has nothing below it
		{"**.b", []string{
			"b=9", "a.b=1", `a[""].b=8`, "a.list[1].b=3", "a.sub-1.b=6", `a["x/y"].b=7`, `evil["\x1b[2J\"]\u202e"].b=10`,
		}},
		{"a.**.b", []string{"a.b=1", `a[""].b=8`, "a.list[1].b=3", "a.sub-1.b=6", `a["x/y"].b=7`}},
		{"a.list.**", []string{"a.list[0]=2", "a.list[1].b=3", "a.list[4][0]=5"}},
		{"", nil},
		{"a..b", []string{`a[""].b=8`}},
	} {
		t.Run(tc.pattern, func(t *testing.T) {
			var got []string
			wiring.Texts(tree(t, v), tc.pattern, func(path, text string) { got = append(got, path+"="+text) })
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// sample is an object of one kind, and the links that it makes: target, path.
type sample struct{ object, links string }

// samples has one for every kind that refers to others.
var samples = map[string]sample{
	"Switch": {
		`{"spec":{"profile":"vs","groups":["g-1","g-2"],"redundancy":{"group":"g-2","type":"eslag"},"vlanNamespaces":["default"]}}`,
		`SwitchProfile vs                spec.profile
		SwitchGroup g-1                 spec.groups[0]
		SwitchGroup g-2                 spec.groups[1]
		VLANNamespace default           spec.vlanNamespaces[0]`,
	},
	"Server": {`{"spec":{"profile":"big"}}`, `ServerProfile big spec.profile`},
	"Connection": {
		`{"spec":{
			"unbundled":{"link":{"server":{"port":"server-1/enp2s1"},"switch":{"port":"leaf-01/E1/1"}}},
			"fabric":{"links":[{"leaf":{"port":"leaf-01/E1/9","ip":"172.30.128.1/31"},"spine":{"port":"spine-01/E1/1"}},{"leaf":{"port":"leaf-02/E1/9"},"spine":{"port":"spine-01/E1/2"}}]},
			"mesh":{"links":[{"leaf1":{"port":"leaf-03/E1/1"},"leaf2":{"port":"leaf-04/E1/1"}}]},
			"mclagDomain":{"peerLinks":[{"switch1":{"port":"leaf-05/E1/1"},"switch2":{"port":"leaf-06/E1/1"}}],"sessionLinks":[{"switch1":{"port":"leaf-05/E1/2"},"switch2":{"port":"leaf-06/E1/2"}}]},
			"gateway":{"links":[{"switch":{"port":"spine-01/E1/4"},"gateway":{"port":"gateway-1/enp2s1"}}]},
			"staticExternal":{"withinVPC":"vpc-1","link":{"switch":{"port":"leaf-07/E1/1","ip":"10.0.0.1/24"}}},
			"later":{"deep":{"switch":{"port":"leaf-08"}}},
			"broken":{"switch":{"port":7},"server":"text","spine":{"port":""},"leaf":{"port":"/E1/1"}}}}`,
		`Switch spine-01     spec.gateway.links[0].switch.port
		Switch leaf-08      spec.later.deep.switch.port
		Switch leaf-07      spec.staticExternal.link.switch.port
		Switch leaf-01      spec.unbundled.link.switch.port
		Switch leaf-05      spec.mclagDomain.peerLinks[0].switch1.port
		Switch leaf-06      spec.mclagDomain.peerLinks[0].switch2.port
		Switch leaf-02      spec.fabric.links[1].leaf.port
		Switch leaf-03      spec.mesh.links[0].leaf1.port
		Switch leaf-04      spec.mesh.links[0].leaf2.port
		Server server-1     spec.unbundled.link.server.port
		Gateway gateway-1   spec.gateway.links[0].gateway.port
		VPC vpc-1           spec.staticExternal.withinVPC`,
	},
	"VPC": {
		`{"spec":{"ipv4Namespace":"default","vlanNamespace":"lab","subnets":{"default":{"dhcp":{"relayVPC":"vpc-2"}},"b/c":{"dhcp":{"relayVPC":"vpc-3"}},"none":{"dhcp":{}}}}}`,
		`IPv4Namespace default  spec.ipv4Namespace
		VLANNamespace lab      spec.vlanNamespace
		VPC vpc-3              spec.subnets["b/c"].dhcp.relayVPC
		VPC vpc-2              spec.subnets.default.dhcp.relayVPC`,
	},
	"External": {`{"spec":{"ipv4Namespace":"default"}}`, `IPv4Namespace default spec.ipv4Namespace`},
	"VPCAttachment": {
		`{"spec":{"subnet":"vpc-1/default","connection":"server-1--unbundled--leaf-01"}}`,
		`VPC vpc-1 spec.subnet
		Connection server-1--unbundled--leaf-01 spec.connection`,
	},
	"ExternalAttachment": {
		`{"spec":{"external":"ext-1","connection":"leaf-01--external"}}`,
		`External ext-1 spec.external
		Connection leaf-01--external spec.connection`,
	},
	"VPCPeering": {
		`{"spec":{"permit":[{"vpc-1":{"subnets":["default"]},"vpc-2":{}},{"vpc-1":{},"vpc-2":{}}]}}`,
		`VPC vpc-1 spec.permit[0]["vpc-1"]
		VPC vpc-2 spec.permit[0]["vpc-2"]`,
	},
	"ExternalPeering": {
		`{"spec":{"permit":{"vpc":{"name":"vpc-1","subnets":["default"]},"external":{"name":"ext-1"}}}}`,
		`VPC vpc-1 spec.permit.vpc.name
		External ext-1 spec.permit.external.name`,
	},
	"Gateway": {
		`{"spec":{"groups":[{"name":"default","priority":1},{"name":"gr-2"}]}}`,
		`GatewayGroup default spec.groups[0].name
		GatewayGroup gr-2 spec.groups[1].name`,
	},
	"GatewayPeering": {
		`{"spec":{"gatewayGroup":"default","peering":{"vpc-1":{},"ext.ext-1":{}}}}`,
		`GatewayGroup default spec.gatewayGroup
		VPC vpc-1 spec.peering["vpc-1"]
		External ext-1 spec.peering["ext.ext-1"]`,
	},
	"VPCInfo":      {`{"metadata":{"name":"ext.ext-1"}}`, `External ext-1 metadata.name`},
	"DHCPSubnet":   {`{"spec":{"subnet":"vpc-1/default"}}`, `VPC vpc-1 spec.subnet`},
	"Agent":        {`{"metadata":{"name":"leaf-01"},"spec":{"switch":{"profile":"vs"}}}`, `Switch leaf-01 metadata.name`},
	"GatewayAgent": {`{"metadata":{"name":"gateway-1"}}`, `Gateway gateway-1 metadata.name`},
}

// served are the kinds of our own definitions, as a cluster would serve them.
func served(t testing.TB) map[string]hedgerow.Kind {
	t.Helper()
	files, err := crds.All()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]hedgerow.Kind{}
	for _, f := range files {
		var def struct {
			Spec struct {
				Group string
				Names struct{ Kind, Plural string }
			}
		}
		if err := yaml.Unmarshal(f, &def); err != nil {
			t.Fatal(err)
		}
		all[def.Spec.Names.Kind] = kinds.Merge(hedgerow.Kind{Group: def.Spec.Group, Kind: def.Spec.Names.Kind, Plural: def.Spec.Names.Plural})
	}
	return all
}

func TestLinks(t *testing.T) {
	all := served(t)
	for name, k := range all {
		s, ok := samples[name]
		if ok != (len(k.References) > 0) {
			t.Errorf("%s has %d references, and a sample: %t", name, len(k.References), ok)
		}
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var want []string
			for l := range strings.Lines(s.links) {
				want = append(want, strings.Join(strings.Fields(l), " "))
			}
			got := []string{}
			for _, l := range wiring.Links(k, tree(t, s.object)) {
				got = append(got, l.To.Kind+" "+l.Name+" "+l.Path)
				if l.To.Group != all[l.To.Kind].Group {
					t.Errorf("%s is of the group %q", l.To.Kind, l.To.Group)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	want := []wiring.Link{{To: all["VPC"].ID(), Name: "vpc-1", Path: "metadata.name"}}
	if diff := cmp.Diff(want, wiring.Links(all["VPCInfo"], tree(t, `{"metadata":{"name":"vpc-1"}}`))); diff != "" {
		t.Errorf("VPCInfo of a VPC (-want +got):\n%s", diff)
	}
}

// A field of another type reads as absent, whatever it is.
func TestLinksAreTolerant(t *testing.T) {
	all := served(t)
	for _, v := range []string{`null`, `1`, `"x"`, `[]`, `{}`, `{"spec":null}`, `{"spec":[]}`, `{"spec":{"groups":{},"permit":"x","peering":[],"profile":{},"subnet":null,"subnets":[],"fabric":{"links":{"leaf":{"port":[]}}}},"metadata":{"name":7}}`} {
		for name, k := range all {
			if links := wiring.Links(k, tree(t, v)); links != nil {
				t.Errorf("%s of %s: %v", name, v, links)
			}
		}
	}
}

// A path is safe to print and says which key is meant, whatever the keys are.
func TestPathsAreSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.String(), 1, 4).Draw(t, "keys")
		var v any = "text"
		for _, k := range slices.Backward(keys) {
			v = map[string]any{k: v}
		}
		var got []string
		wiring.Texts(v, strings.TrimSuffix(strings.Repeat("*.", len(keys)), "."), func(path, _ string) { got = append(got, path) })
		if len(got) != 1 || hedgerow.OneLine(got[0]) != got[0] {
			t.Fatalf("%q: %q", keys, got)
		}
	})
}

const clusterFile = "../../../shared/fixtures/wiring/cluster/all-kinds-v0.48.yaml"

// Every reference of a real fabric resolves inside it, but for those to
// profiles, which the fabric makes itself.
func TestLinksOfARealFabric(t *testing.T) {
	text, err := os.ReadFile(clusterFile)
	if err != nil {
		t.Skipf("no real fabric to look at: %v", err)
	}
	all := served(t)
	type identity struct {
		kind hedgerow.KindID
		name string
	}
	objects := map[identity]wiring.Tree{}
	var order []identity
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var v map[string]any
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if v == nil {
			continue
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		k := all[v["kind"].(string)]
		id := identity{k.ID(), v["metadata"].(map[string]any)["name"].(string)}
		objects[id] = tree(t, string(b))
		order = append(order, id)
	}
	if len(objects) < 70 || len(objects) != len(order) {
		t.Fatalf("%d objects of %d", len(objects), len(order))
	}
	links, dangling := 0, map[string]bool{}
	made := map[string]bool{}
	for _, id := range order {
		for _, l := range wiring.Links(all[id.kind.Kind], objects[id]) {
			links++
			made[id.kind.Kind+" to "+l.To.Kind] = true
			if _, ok := objects[identity{l.To, l.Name}]; !ok {
				dangling[l.To.Kind+" "+l.Name] = true
			}
			if strings.Contains(l.Path, "*") || strings.Contains(l.Path, "@") {
				t.Errorf("%s %s: %q is a pattern, not a path", id.kind.Kind, id.name, l.Path)
			}
		}
	}
	if diff := cmp.Diff([]string{"SwitchProfile vs"}, slices.Sorted(maps.Keys(dangling))); diff != "" {
		t.Errorf("targets that are not there (-want +got):\n%s", diff)
	}
	want := []string{
		"Connection to Gateway", "Connection to Server", "Connection to Switch", "Connection to VPC", "External to IPv4Namespace",
		"ExternalAttachment to Connection", "ExternalAttachment to External", "ExternalPeering to External", "ExternalPeering to VPC",
		"Gateway to GatewayGroup", "GatewayPeering to External", "GatewayPeering to GatewayGroup", "GatewayPeering to VPC",
		"Switch to SwitchGroup", "Switch to SwitchProfile", "Switch to VLANNamespace", "VPC to IPv4Namespace", "VPC to VLANNamespace",
		"VPC to VPC", "VPCAttachment to Connection", "VPCAttachment to VPC", "VPCPeering to VPC",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(made))); diff != "" {
		t.Errorf("references made (-want +got):\n%s", diff)
	}
	t.Logf("%d objects, %d links", len(objects), links)
}

func TestParse(t *testing.T) {
	for _, bad := range []string{"", "{", "x"} {
		if v, err := wiring.Parse([]byte(bad)); err == nil {
			t.Errorf("%q: %v", bad, v)
		}
	}
	if got := fmt.Sprint(tree(t, `{"n":12345678901234567890.0}`)); got != "map[n:12345678901234567890.0]" {
		t.Errorf("numbers do not stay as they are: %s", got)
	}
}

func TestReadAgent(t *testing.T) {
	beat := time.Date(2026, 3, 14, 15, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name, content, vitals string
		want                  wiring.Agent
	}{
		{"all there", `{"status":{"lastAppliedGen":12}}`, `{"status":{"lastHeartbeat":"2026-03-14T15:00:00Z"}}`, wiring.Agent{Wanted: 13, Applied: 12, Heartbeat: beat}},
		{"in another zone", `{}`, `{"status":{"lastHeartbeat":"2026-03-14T16:00:00+01:00"}}`, wiring.Agent{Wanted: 13, Heartbeat: beat}},
		{"never applied", `{"status":{}}`, `{"status":{"lastHeartbeat":"2026-03-14T15:00:00Z"}}`, wiring.Agent{Wanted: 13, Heartbeat: beat}},
		{"never heard of", `{"status":{"lastAppliedGen":13}}`, ``, wiring.Agent{Wanted: 13, Applied: 13}},
		{"other types", `{"status":{"lastAppliedGen":{"x":1}}}`, `{"status":{"lastHeartbeat":7}}`, wiring.Agent{Wanted: 13}},
		{"a generation in text", `{"status":{"lastAppliedGen":"12"}}`, `{"status":{"lastHeartbeat":"soon"}}`, wiring.Agent{Wanted: 13}},
		{"status is a text", `{"status":"x"}`, `{"status":[]}`, wiring.Agent{Wanted: 13}},
		{"not an object", `[]`, `null`, wiring.Agent{Wanted: 13}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var vitals []byte
			if tc.vitals != "" {
				vitals = []byte(tc.vitals)
			}
			got, err := wiring.ReadAgent(13, []byte(tc.content), vitals)
			if err != nil {
				t.Fatal(err)
			}
			got.Heartbeat = got.Heartbeat.UTC()
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := wiring.ReadAgent(1, []byte("{"), nil); err == nil {
		t.Error("content that is not JSON is accepted")
	}
	if _, err := wiring.ReadAgent(1, []byte("{}"), []byte("{")); err == nil {
		t.Error("vitals that are not JSON are accepted")
	}
}
