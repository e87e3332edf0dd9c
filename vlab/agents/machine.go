package agents

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// description is what the wiring says about one machine.
type description struct {
	home        home
	name        string
	annotations map[string]string
	spec        map[string]any
	// report makes the status at an instant.
	report func(p progress, now time.Time) map[string]any
}

// home is where objects of a kind live.
type home struct{ apiVersion, kind, path string }

var (
	agentHome = home{
		apiVersion: "agent.githedgehog.com/v1beta1", kind: "Agent",
		path: "/apis/agent.githedgehog.com/v1beta1/namespaces/default/agents",
	}
	gatewayAgentHome = home{
		apiVersion: "gwint.githedgehog.com/v1alpha1", kind: "GatewayAgent",
		path: "/apis/gwint.githedgehog.com/v1alpha1/namespaces/default/gatewayagents",
	}
)

// machine is one device at work.
type machine struct {
	description
	// wanted is the spec as JSON, written the spec that the cluster holds as far as we know.
	wanted, written []byte
	// resourceVersion is empty while no agent is known to exist.
	resourceVersion string
	progress        progress
	apply           time.Duration
	next            time.Time
}

func (m *machine) key() string { return m.home.kind + "/" + m.name }

// describe takes the wiring's latest word and says whether the spec changed by it.
func (m *machine) describe(d description) bool {
	m.description = d
	wanted, err := json.Marshal(d.spec)
	if err != nil {
		// It came out of JSON a moment ago.
		panic(fmt.Sprintf("agents: spec of %s: %v", m.key(), err))
	}
	changed := !bytes.Equal(m.wanted, wanted)
	m.wanted = wanted
	return changed
}

// step makes the agent exist, its spec be the wanted one, and its status be that of now.
func (m *machine) step(ctx context.Context, a api, now time.Time) error {
	if m.resourceVersion == "" {
		if err := m.meet(ctx, a, now); err != nil {
			return err
		}
	}
	if !bytes.Equal(m.wanted, m.written) {
		if err := m.write(ctx, a, "", "spec", m.spec); err != nil {
			return err
		}
		m.written = m.wanted
	}
	m.progress.advance(now, m.apply)
	return m.write(ctx, a, "/status", "status", m.report(m.progress, now))
}

// meet reads the agent, or creates it.
func (m *machine) meet(ctx context.Context, a api, now time.Time) error {
	found, err := a.get(ctx, m.home.path+"/"+m.name)
	if isNotFound(err) {
		found, err = a.send(ctx, "POST", m.home.path, m.body("spec", m.spec))
	}
	if err != nil {
		return err
	}
	m.written, err = json.Marshal(found.Spec)
	if err != nil {
		return err
	}
	created := found.Metadata.CreationTimestamp
	if created.IsZero() {
		created = now
	}
	m.progress = resume(found.Status, created)
	m.seen(found)
	return nil
}

// write replaces one part of the agent. When somebody else wrote it in between, it looks again and insists: nobody but
// the agent owns these fields.
func (m *machine) write(ctx context.Context, a api, subresource, field string, value map[string]any) error {
	path := m.home.path + "/" + m.name
	answer, err := a.send(ctx, "PUT", path+subresource, m.body(field, value))
	if isConflict(err) {
		if answer, err = a.get(ctx, path); err == nil {
			m.seen(answer)
			answer, err = a.send(ctx, "PUT", path+subresource, m.body(field, value))
		}
	}
	if isNotFound(err) {
		m.resourceVersion = ""
	}
	if err != nil {
		return err
	}
	m.seen(answer)
	return nil
}

func (m *machine) seen(o item) {
	m.resourceVersion = o.Metadata.ResourceVersion
	m.progress.generation = o.Metadata.Generation
}

func (m *machine) body(field string, value map[string]any) map[string]any {
	metadata := map[string]any{"name": m.name, "namespace": "default"}
	if len(m.annotations) > 0 {
		metadata["annotations"] = m.annotations
	}
	if m.resourceVersion != "" {
		metadata["resourceVersion"] = m.resourceVersion
	}
	return map[string]any{"apiVersion": m.home.apiVersion, "kind": m.home.kind, "metadata": metadata, field: value}
}
