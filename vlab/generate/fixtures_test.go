package generate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"hedgerow/vlab/generate/schematest"
)

// TestAgainstFixtures compares what is made here with what the vendor's own generator, hydrator and webhooks made.
func TestAgainstFixtures(t *testing.T) {
	tests := []struct {
		fabric, file string
		// extra objects are ours alone.
		extra []string
	}{
		{fabric: "spine-leaf", file: "spine-leaf-default-v0.40.yaml"},
		{fabric: "mesh", file: "mesh-v0.48.yaml"},
		{fabric: "gateway", file: "gateway-v0.48.yaml", extra: []string{
			"Connection/leaf-03--external", "ServerProfile/dual-nic", "VPC/vpc-01", "VPC/vpc-02", "VPC/vpc-03",
			"VPCAttachment/vpc-01--default--server-01--eslag--leaf-01--leaf-02",
			"VPCAttachment/vpc-01--app--server-01--eslag--leaf-01--leaf-02",
			"VPCAttachment/vpc-01--default--server-02--eslag--leaf-01--leaf-02",
			"VPCAttachment/vpc-02--default--server-03--unbundled--leaf-01",
			"VPCAttachment/vpc-02--default--server-04--bundled--leaf-02",
			"VPCAttachment/vpc-03--default--server-05--unbundled--leaf-03",
			"VPCPeering/vpc-01--vpc-02", "External/ext-bgp-01", "ExternalAttachment/leaf-03--ext-bgp-01",
			"ExternalPeering/vpc-01--ext-bgp-01", "GatewayPeering/vpc-02--vpc-03",
		}},
	}
	for _, test := range tests {
		t.Run(test.fabric, func(t *testing.T) {
			path := schematest.Fixtures(t, "wiring", "cluster", test.file)
			got := byIdentity(t, mustFabric(t, test.fabric))
			for _, identity := range test.extra {
				if _, found := got[identity]; !found {
					t.Errorf("%s is not there", identity)
				}
				delete(got, identity)
			}
			if diff := gocmp.Diff(byIdentity(t, schematest.Documents(t, path)), got); diff != "" {
				t.Errorf("fixture (-) and ours (+) differ:\n%s", diff)
			}
		})
	}
}

// TestAgainstSchemas checks every object against the real definitions.
func TestAgainstSchemas(t *testing.T) {
	schemas := schematest.Load(t, schematest.Fixtures(t, "crds"))
	all := streams(t)
	for _, name := range slices.SortedFunc(maps.Keys(all), cmp.Compare) {
		for _, o := range all[name] {
			schemas.Check(t, o)
		}
	}
}

// byIdentity indexes objects, with their numbers as JSON has them.
func byIdentity(t *testing.T, objects []Object) map[string]Object {
	t.Helper()
	index := map[string]Object{}
	for _, o := range objects {
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var plain Object
		if err := json.Unmarshal(data, &plain); err != nil {
			t.Fatal(err)
		}
		index[fmt.Sprintf("%s/%s", o["kind"], nameOf(o))] = plain
	}
	return index
}
