package generate

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestCounts(t *testing.T) {
	tests := map[string]map[string]int{
		"spine-leaf": {
			"Connection": 26, "Connection fabric": 10, "Connection mclag-domain": 1, "Connection vpc-loopback": 5,
			"Connection mclag": 2, "Connection eslag": 2, "Connection unbundled": 3, "Connection bundled": 3,
			"Server": 10, "Switch": 7, "SwitchGroup": 3, "IPv4Namespace": 1, "VLANNamespace": 1, "": 48,
		},
		"mesh": {
			"Connection": 9, "Connection mesh": 3, "Connection eslag": 2, "Connection unbundled": 2, "Connection bundled": 2,
			"Server": 6, "Switch": 3, "SwitchGroup": 2, "IPv4Namespace": 1, "VLANNamespace": 1, "": 22,
		},
		"gateway": {
			"Connection": 17, "Connection fabric": 6, "Connection gateway": 4, "Connection eslag": 2,
			"Connection unbundled": 2, "Connection bundled": 2, "Connection external": 1,
			"Server": 6, "ServerProfile": 1, "Switch": 5, "SwitchGroup": 2, "IPv4Namespace": 1, "VLANNamespace": 1,
			"VPC": 3, "VPCAttachment": 6, "VPCPeering": 1, "External": 1, "ExternalAttachment": 1, "ExternalPeering": 1,
			"Gateway": 2, "GatewayGroup": 1, "GatewayPeering": 1, "": 50,
		},
	}
	if got, want := len(tests), len(Names()); got != want {
		t.Fatalf("%d fabrics are counted, %d exist", got, want)
	}
	for name, want := range tests {
		got := map[string]int{}
		for _, o := range mustFabric(t, name) {
			kind := o["kind"].(string)
			got[""]++
			got[kind]++
			if kind == "Connection" {
				got[kind+" "+label(o, labelConnectionType)]++
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, want)
		}
	}
}

func TestUnknownFabric(t *testing.T) {
	_, err := Fabric("collapsed-core")
	if err == nil || !strings.Contains(err.Error(), "spine-leaf, mesh, gateway") {
		t.Errorf("the error should list what there is: %v", err)
	}
}

// streams are everything that the package makes.
func streams(t *testing.T) map[string][]Object {
	all := map[string][]Object{"load": slices.Collect(Load(5000))}
	for _, name := range Names() {
		all[name] = mustFabric(t, name)
	}
	return all
}

func TestSameInputSameBytes(t *testing.T) {
	first, second := streams(t), streams(t)
	for name := range first {
		if bytesOf(t, first[name]) != bytesOf(t, second[name]) {
			t.Errorf("%s differs between two calls", name)
		}
	}
}

func TestIdentitiesAndPortsAreUnique(t *testing.T) {
	for name, objects := range streams(t) {
		seen := map[string]bool{}
		unique := func(what string) {
			if seen[what] {
				t.Errorf("%s: %s twice", name, what)
			}
			seen[what] = true
		}
		for _, o := range objects {
			unique(o["kind"].(string) + "/" + nameOf(o))
			spec := o["spec"].(map[string]any)
			switch o["kind"] {
			case "Connection":
				walk(spec, func(key string, value any) {
					// A gateway's own address is in its cable and in its spec; cables are enough.
					if key == "port" || key == "ip" {
						unique(value.(string))
					}
				})
			case "Switch":
				unique(spec["ip"].(string))
				unique(spec["protocolIP"].(string))
				unique(spec["boot"].(map[string]any)["mac"].(string))
			}
		}
	}
}

// TestReferencesComeFirst follows the references that the webhooks check on write.
func TestReferencesComeFirst(t *testing.T) {
	for name, objects := range streams(t) {
		seen := map[string]bool{}
		for _, o := range objects {
			for _, ref := range references(o) {
				if !seen[ref] {
					t.Errorf("%s: %s %s refers to %s, which is not there yet", name, o["kind"], nameOf(o), ref)
				}
			}
			seen[o["kind"].(string)+"/"+nameOf(o)] = true
		}
	}
}

func references(o Object) []string {
	var refs []string
	prefixes := map[string]string{
		labelOfSwitch: "Switch/", labelOfServer: "Server/", labelOfGroup: "SwitchGroup/",
		labelOfVLANs: "VLANNamespace/", labelOfVPC: "VPC/", labelOfPeeringSide: "VPC/",
	}
	exact := map[string]string{
		labelIPv4Namespace: "IPv4Namespace/", labelVLANNamespace: "VLANNamespace/", labelVPC: "VPC/",
		labelConnection: "Connection/", labelExternal: "External/",
	}
	labels, _ := o["metadata"].(map[string]any)["labels"].(map[string]any)
	for key, value := range labels {
		if kind, found := exact[key]; found {
			refs = append(refs, kind+value.(string))
		}
		for prefix, kind := range prefixes {
			if target, found := strings.CutPrefix(key, prefix); found {
				refs = append(refs, kind+target)
			}
		}
	}
	return refs
}

func TestLoad(t *testing.T) {
	for _, n := range []int{0, 1, 2, 48, 1000, 1001} {
		if got := len(slices.Collect(Load(n))); got != n {
			t.Errorf("Load(%d) made %d objects", n, got)
		}
	}
	small, large := slices.Collect(Load(500)), slices.Collect(Load(2000))
	if bytesOf(t, small) != bytesOf(t, large[:500]) {
		t.Error("a larger load does not continue a smaller one")
	}
	connections := 0
	for _, o := range large {
		if o["kind"] == "Connection" {
			connections++
		}
	}
	if connections < 1000 {
		t.Errorf("%d of 2000 objects are Connections: not most", connections)
	}
	made := 0
	for range Load(1_000_000_000) {
		if made++; made == 10 {
			break
		}
	}
}

// TestStorable keeps to the value types that Kubernetes' unstructured content accepts, and that no two objects share.
func TestStorable(t *testing.T) {
	for name, objects := range streams(t) {
		owners := map[uintptr]string{}
		for _, o := range objects {
			walk(o, func(key string, value any) {
				switch v := value.(type) {
				case string, bool, int64, []any:
				case map[string]any:
					address := reflect.ValueOf(v).Pointer()
					if owner := owners[address]; owner != "" {
						t.Errorf("%s: %s of %s is also part of %s", name, key, nameOf(o), owner)
					}
					owners[address] = nameOf(o)
				default:
					t.Errorf("%s: %s %s: %s is a %T", name, o["kind"], nameOf(o), key, value)
				}
			})
		}
	}
}

func mustFabric(t *testing.T, name string) []Object {
	t.Helper()
	objects, err := Fabric(name)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func bytesOf(t *testing.T, objects []Object) string {
	t.Helper()
	data, err := json.Marshal(objects)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func label(o Object, key string) string {
	labels, _ := o["metadata"].(map[string]any)["labels"].(map[string]any)
	return fmt.Sprint(labels[key])
}

// walk visits every value below v with the key that it has in its object.
func walk(v any, visit func(key string, value any)) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			visit(key, value)
			walk(value, visit)
		}
	case []any:
		for _, value := range v {
			walk(value, visit)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		for range Load(100_000) {
		}
	}
}
