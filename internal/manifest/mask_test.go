package manifest_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hedgerow"
	"hedgerow/internal/manifest"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func TestAnnotations(t *testing.T) {
	o := mustRead(t, switches, `{"metadata":{"name":"a","annotations":{
		"fabric.githedgehog.com/ports":"64","hhfab.githedgehog.com/x":"y","link.hhfab.githedgehog.com/z":"w",
		"kubectl.kubernetes.io/last-applied-configuration":"{\"spec\":\"hunter2\"}",
		"example.com/note":"hunter2","example.com/other":"hunter2","example.com/third":"hunter3","empty":"","fabric.githedgehog.com/unknown":"hunter2"}}}`)
	var got struct {
		Metadata struct{ Annotations map[string]string }
	}
	if err := json.Unmarshal(o.Content, &got); err != nil {
		t.Fatal(err)
	}
	a := got.Metadata.Annotations
	want := []string{
		"empty", "example.com/note", "example.com/other", "example.com/third", "fabric.githedgehog.com/ports",
		"fabric.githedgehog.com/unknown", "hhfab.githedgehog.com/x", "link.hhfab.githedgehog.com/z",
	}
	if diff := cmp.Diff(want, sortedKeys(a)); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	for k, v := range a {
		if manifest.KeepAnnotation(k) == strings.HasPrefix(v, manifest.MaskPrefix) {
			t.Errorf("%s is stored as %q", k, v)
		}
	}
	if a["example.com/note"] != a["example.com/other"] || a["example.com/note"] == a["example.com/third"] {
		t.Error("masks must differ exactly when the texts do")
	}
	other, err := manifest.NewReader(switches, manifest.NewMask([]byte("another key"))).Read([]byte(`{"metadata":{"name":"a","annotations":{"example.com/note":"hunter2"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(other.Content), a["example.com/note"]) {
		t.Error("a mask must not be the same under another key")
	}
}

func TestSecretFields(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{ // # stands for a masked text
		{"a text", `{"password":"x"}`, `{"password":"#"}`},
		{"any case", `{"bgpPassWord":"x","API_KEY":"x","apikey":"x","authKey":"x","privateKey":"x","access_key":"x","communityString":"x","joinToken":"x","dbCredentials":"x","clientSecret":"x"}`, `{"API_KEY":"#","apikey":"#","authKey":"#","bgpPassWord":"#","clientSecret":"#","communityString":"#","dbCredentials":"#","joinToken":"#","privateKey":"#","access_key":"#"}`},
		{"by escape", `{"p\u0061ssword":"x"}`, `{"password":"#"}`},
		{"a list", `{"passwords":["x","y"]}`, `{"passwords":["#","#"]}`},
		{"a list of lists", `{"passwords":[["x"],[["y"]]]}`, `{"passwords":[["#"],[["#"]]]}`},
		{"a value below", `{"password":{"value":"x","format":"plain"}}`, `{"password":{"format":"plain","value":"#"}}`},
		{"data below", `{"tlsSecret":{"data":["x"]}}`, `{"tlsSecret":{"data":["#"]}}`},
		{"values in a list below", `{"tokens":[{"value":"x"},{"data":"y"}]}`, `{"tokens":[{"value":"#"},{"data":"#"}]}`},
		{"a pair", `{"env":[{"name":"DB_PASSWORD","value":"x"},{"name":"MODE","value":"y"}]}`, `{"env":[{"name":"DB_PASSWORD","value":"#"},{"name":"MODE","value":"y"}]}`},
		{"nested", `{"a":[{"b":{"credentials":{"username":"u","password":"x"}}}]}`, `{"a":[{"b":{"credentials":{"password":"#","username":"u"}}}]}`},
		{"annotations of a template", `{"template":{"annotations":{"token":"x","note":"y"}}}`, `{"template":{"annotations":{"note":"y","token":"#"}}}`},
		{"labels are names", `{"labels":{"token":"x"}}`, `{"labels":{"token":"x"}}`},
		{"subnets are named by people", `{"subnets":{"token":{"subnet":"10.0.1.0/24","vlan":1001},"secret-vpc":{"subnet":"10.0.2.0/24"}}}`, `{"subnets":{"secret-vpc":{"subnet":"10.0.2.0/24"},"token":{"subnet":"10.0.1.0/24","vlan":1001}}}`},
		{"so are VPCs", `{"permit":[{"secret-vpc":{"subnets":["token"]},"token":{}}],"vnis":{"password-vpc":100}}`, `{"permit":[{"secret-vpc":{"subnets":["token"]},"token":{}}],"vnis":{"password-vpc":100}}`},
		{"values are not names", `{"description":"the password is on the fridge","key":"x","profile":"token-switch"}`, `{"description":"the password is on the fridge","key":"x","profile":"token-switch"}`},
		{"masked already", `{"password":"withheld:0011223344556677"}`, `{"password":"withheld:0011223344556677"}`},
		{"nothing in it", `{"password":null,"token":{},"secrets":[]}`, `{"password":null,"secrets":[],"token":{}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := mustRead(t, switches, `{"metadata":{"name":"token"},"spec":`+tc.in+`}`)
			var got, want struct {
				Metadata struct{ Name string }
				Spec     any
			}
			if err := json.Unmarshal(o.Content, &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(`{"metadata":{"name":"token"},"spec":`+tc.want+`}`), &want); err != nil {
				t.Fatal(err)
			}
			got.Spec = hashes(got.Spec)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// hashes puts "#" for every masked text, but for one that came masked.
func hashes(v any) any {
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(v, manifest.MaskPrefix) && v != "withheld:0011223344556677" {
			return "#"
		}
	case []any:
		for i := range v {
			v[i] = hashes(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = hashes(v[k])
		}
	}
	return v
}

// canaries returns a tree of the shape of a rule's paths with canaries at every
// place that the paths do not name.
func canaries(paths []string) map[string]any {
	root := map[string]any{"spec": map[string]any{"users": []any{map[string]any{"password": "canary"}}, "canary": "canary"}, "canary": "canary"}
	for _, p := range paths {
		at := root
		steps := strings.Split(p, ".")
		for i, s := range steps {
			if s == "*" || s == "**" {
				s = "k"
			} else {
				at["canary"] = "canary"
			}
			if i == len(steps)-1 {
				// A leaf that a later release makes an object.
				if steps[i] != "**" && len(p)%2 == 0 {
					at[s] = map[string]any{"inside": "canary"}
				} else {
					at[s] = "kept"
				}
				break
			}
			next, ok := at[s].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[s] = next
			}
			at = next
		}
	}
	return root
}

// Of a kind with a rule, what no path names is stored nowhere.
func TestAllowListKeepsCanariesOut(t *testing.T) {
	for _, k := range []hedgerow.Kind{agents, gwAgents, fabs, nodes} {
		t.Run(k.Kind, func(t *testing.T) {
			var paths []string
			for _, p := range slices.Concat(k.Rule.Keep, k.Rule.Vitals) {
				if k.Kind == "Agent" || k.Kind == "GatewayAgent" {
					if strings.HasPrefix(p, "spec") {
						t.Fatalf("the rule keeps %s", p)
					}
				}
				if !strings.HasPrefix(p, "metadata") && p != "status.**" {
					paths = append(paths, p)
				}
			}
			root := canaries(paths)
			root["metadata"] = map[string]any{
				"name": "a", "namespace": "n", "generation": 7, "uid": "u", "labels": map[string]any{"l": "v"},
				"annotations":   map[string]any{"fabric.githedgehog.com/ports": "canary", "x": "canary"},
				"managedFields": []any{map[string]any{"manager": "canary"}}, "canary": "canary",
				"ownerReferences": []any{map[string]any{"name": "owner"}}, "finalizers": []any{"f"},
			}
			if k.Kind == "Fabricator" {
				delete(root, "status") // all of it is kept
			}
			in, err := json.Marshal(root)
			if err != nil {
				t.Fatal(err)
			}
			o := mustRead(t, k, string(in))
			for _, stored := range []string{string(o.Content), string(o.Vitals)} {
				if strings.Contains(stored, "canary") {
					t.Errorf("canaries are stored: %s", stored)
				}
			}
			var tree struct{ Metadata map[string]any }
			if err := json.Unmarshal(o.Content, &tree); err != nil {
				t.Fatal(err)
			}
			want := []string{"finalizers", "labels", "name", "namespace", "ownerReferences"}
			if slices.Contains(k.Rule.Keep, "metadata.generation") {
				want = append(want, "generation")
				slices.Sort(want)
			}
			if diff := cmp.Diff(want, sortedKeys(tree.Metadata)); diff != "" {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
		})
	}
}

// What moves every 15 seconds makes no new content.
func TestVitalsMakeNoHistory(t *testing.T) {
	beat := func(heartbeat, in, oper string) hedgerow.Object {
		return mustRead(t, agents, `{"metadata":{"name":"a","generation":2},"status":{"lastHeartbeat":"`+heartbeat+`","state":{"interfaces":{"E1/1":{"oper":"`+oper+`","counters":{"inbps":`+in+`}}}}}}`)
	}
	a, b, c := beat("2026-01-01T00:00:00Z", "1", "up"), beat("2026-01-01T00:00:15Z", "2", "up"), beat("2026-01-01T00:00:15Z", "2", "down")
	if a.Digest != b.Digest || string(a.Vitals) == string(b.Vitals) {
		t.Errorf("a beat changed the content, or not the vitals:\n%s\n%s", a.Content, b.Content)
	}
	if b.Digest == c.Digest || string(b.Vitals) != string(c.Vitals) {
		t.Errorf("a port that went down did not change the content, or changed the vitals")
	}
	if v := mustRead(t, agents, `{"metadata":{"name":"a"}}`).Vitals; v != nil {
		t.Errorf("vitals of nothing: %s", v)
	}
}
