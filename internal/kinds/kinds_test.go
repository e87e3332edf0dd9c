package kinds

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"hedgerow"
	"hedgerow/internal/crds"
)

// schema is what these tests read of an OpenAPI schema.
type schema struct {
	Type       string
	Properties map[string]schema
	Additional *schema `yaml:"additionalProperties"`
	Items      *schema
	Open       bool `yaml:"x-kubernetes-preserve-unknown-fields"`
}

// served are the kinds and schemas of the definitions that come with Hedgerow.
func served(t *testing.T) map[hedgerow.KindID]schema {
	t.Helper()
	files, err := crds.All()
	if err != nil {
		t.Fatal(err)
	}
	all := map[hedgerow.KindID]schema{}
	for _, f := range files {
		var def struct {
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Schema struct {
						Root schema `yaml:"openAPIV3Schema"`
					}
				}
			}
		}
		if err := yaml.Unmarshal(f, &def); err != nil {
			t.Fatal(err)
		}
		all[hedgerow.KindID{Group: def.Spec.Group, Kind: def.Spec.Names.Kind}] = def.Spec.Versions[0].Schema.Root
	}
	return all
}

func installed(id hedgerow.KindID) bool { return id.Group == fabricator }

func TestTableNamesServedKinds(t *testing.T) {
	all := served(t)
	for id, o := range table {
		if _, ok := all[id]; !ok && !installed(id) {
			t.Errorf("%s is in the table, and nobody serves it", id)
		}
		if (o.Ownership == hedgerow.Installed) != installed(id) {
			t.Errorf("%s is %s", id, o.Ownership)
		}
		for _, r := range o.References {
			if _, ok := all[r.To]; !ok {
				t.Errorf("%s refers to %s, which nobody serves", id, r.To)
			}
		}
	}
	for id := range all {
		if _, ok := table[id]; !ok {
			t.Errorf("%s is served, and not in the table", id)
		}
	}
}

// find returns the schemas that a path of internal/wiring's grammar reaches.
func find(s schema, path []string) (found []schema) {
	if len(path) == 0 {
		return []schema{s}
	}
	head, rest := path[0], path[1:]
	each := func(fn func(schema)) {
		for _, k := range slices.Sorted(maps.Keys(s.Properties)) {
			fn(s.Properties[k])
		}
		for _, e := range []*schema{s.Additional, s.Items} {
			if e != nil {
				fn(*e)
			}
		}
	}
	switch head {
	case "**":
		found = find(s, rest)
		each(func(e schema) { found = append(found, find(e, path)...) })
	case "*":
		each(func(e schema) { found = append(found, find(e, rest)...) })
	case "@":
		if s.Additional != nil {
			found = find(schema{Type: "string"}, rest)
		}
	default:
		if e, ok := s.Properties[head]; ok {
			found = find(e, rest)
		}
	}
	return found
}

func TestReferencesExist(t *testing.T) {
	for id, root := range served(t) {
		for _, r := range table[id].References {
			if r.Path == "metadata.name" {
				continue // every object has one
			}
			found := find(root, strings.Split(r.Path, "."))
			if len(found) == 0 {
				t.Errorf("%s has no field %s", id, r.Path)
			}
			for _, s := range found {
				if s.Type != "string" {
					t.Errorf("%s of %s is of the type %s", r.Path, id, s.Type)
				}
			}
		}
	}
}

// Of the fields that are stored of a kind with a rule, each exists, and is a
// text, number or boolean unless everything below it is meant.
func TestRulesExist(t *testing.T) {
	renamed := []string{ // before release 25.04
		"status.state.interfaces.*.adminStatus", "status.state.interfaces.*.operStatus", "status.state.bgpNeighbors.*.*.sessionState",
	}
	for id, root := range served(t) {
		r := table[id].Rule
		seen := map[string]bool{}
		for _, p := range slices.Concat(r.Keep, r.Vitals) {
			if seen[p] {
				t.Errorf("%s: %s stands twice", id, p)
			}
			seen[p] = true
			if strings.HasPrefix(p, "spec") {
				t.Errorf("%s: %s would store what holds secrets", id, p)
			}
			if p == "metadata.generation" || slices.Contains(renamed, p) {
				continue
			}
			base, below := strings.CutSuffix(p, ".**")
			found := find(root, strings.Split(base, "."))
			if len(found) == 0 {
				t.Errorf("%s has no field %s", id, p)
			}
			for _, s := range found {
				if whole := s.Type == "object" || s.Type == "array"; whole != below {
					t.Errorf("%s: %s is of the type %s", id, p, s.Type)
				}
			}
		}
	}
}

// Authored kinds have orders that differ, and what an object refers to is
// created before it.
func TestOrder(t *testing.T) {
	circular := map[string]bool{
		"Connection to Gateway": true, // by name only: nobody checks it
		"Connection to VPC":     true, // staticExternal.withinVPC: these connections come after their VPC
		"VPC to VPC":            true, // relayVPC: in order of their references
	}
	orders := map[int]hedgerow.KindID{}
	for id, o := range table {
		if (o.Order > 0) != (o.Ownership == hedgerow.Authored) {
			t.Errorf("%s is %s and has the order %d", id, o.Ownership, o.Order)
		}
		if o.Order == 0 {
			continue
		}
		if other, taken := orders[o.Order]; taken {
			t.Errorf("%s and %s have the order %d", id, other, o.Order)
		}
		orders[o.Order] = id
		for _, r := range o.References {
			edge := id.Kind + " to " + r.To.Kind
			if to := table[r.To]; to.Ownership == hedgerow.Authored && to.Order >= o.Order != circular[edge] {
				t.Errorf("%s: orders %d and %d", edge, o.Order, to.Order)
			}
		}
	}
	var got []string
	for _, n := range slices.Sorted(maps.Keys(orders)) {
		got = append(got, orders[n].Kind)
	}
	want := []string{
		"VLANNamespace", "IPv4Namespace", "SwitchGroup", "ServerProfile", "Switch", "Server", "Connection", "VPC", "External", "VPCAttachment",
		"ExternalAttachment", "VPCPeering", "ExternalPeering", "GatewayGroup", "Gateway", "GatewayPeering",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("authored kinds (-want +got):\n%s", diff)
	}
}

func TestMerge(t *testing.T) {
	k := hedgerow.Kind{Group: wiring, Version: "v1beta1", Kind: "Switch", Plural: "switches", Schema: []byte("{}")}
	got := Merge(k)
	if got.Ownership != hedgerow.Authored || got.Order != 20 || len(got.References) != 4 || got.Plural != "switches" || string(got.Schema) != "{}" {
		t.Errorf("got %+v", got)
	}
	if !Merge(hedgerow.Kind{Group: agentGroup, Kind: "Agent"}).Rule.AllowListed() {
		t.Error("agents have no rule")
	}
	unknown := hedgerow.Kind{Group: "new.githedgehog.com", Kind: "Switch", Plural: "switches"}
	if diff := cmp.Diff(unknown, Merge(unknown)); diff != "" {
		t.Errorf("a kind that is not in the table (-want +got):\n%s", diff)
	}
}

// Kinds that hold credentials in their spec have a rule, and no other has.
func TestKindsWithRules(t *testing.T) {
	var got []string
	for id, o := range table {
		if o.Rule.AllowListed() {
			got = append(got, id.Kind)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"Agent", "ControlNode", "FabNode", "Fabricator", "GatewayAgent"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBuiltinColumns(t *testing.T) {
	got := map[string]string{}
	for id := range served(t) {
		cols, ok := BuiltinColumns(id)
		if !ok {
			t.Errorf("%s is not built in", id)
		}
		for _, c := range cols {
			got[id.Kind] += fmt.Sprintf(" %s(%s,%d)", c.Name, c.Path, c.Priority)
			if c.Type == "" || !strings.HasPrefix(c.Path, ".") {
				t.Errorf("%s: %+v", id, c)
			}
		}
	}
	if diff := cmp.Diff(" IPv4NS(.spec.ipv4Namespace,0) InComm(.spec.inboundCommunity,0) OutComm(.spec.outboundCommunity,0) Age(.metadata.creationTimestamp,0)", got["External"]); diff != "" {
		t.Errorf("External (-want +got):\n%s", diff)
	}
	if cols, ok := BuiltinColumns(hedgerow.KindID{Group: wiring, Kind: "Unheard"}); ok || cols != nil {
		t.Errorf("of a kind that is not built in: %v", cols)
	}
	if cols, ok := BuiltinColumns(catalog); !ok || cols != nil {
		t.Errorf("of a kind without columns: %v, %t", cols, ok)
	}
}
