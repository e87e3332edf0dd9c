package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	switchesPath    = "/apis/wiring.githedgehog.com/v1beta1/namespaces/default/switches"
	connectionsPath = "/apis/wiring.githedgehog.com/v1beta1/namespaces/default/connections"
	gatewaysPath    = "/apis/gateway.githedgehog.com/v1alpha1/namespaces/default/gateways"
)

// item is an object as far as the simulation reads it.
type item struct {
	Metadata struct {
		Name              string            `json:"name"`
		Annotations       map[string]string `json:"annotations"`
		Generation        int64             `json:"generation"`
		ResourceVersion   string            `json:"resourceVersion"`
		CreationTimestamp time.Time         `json:"creationTimestamp"`
	} `json:"metadata"`
	Spec   map[string]any `json:"spec"`
	Status map[string]any `json:"status"`
}

// refusal is an answer that is not a success.
type refusal struct {
	method, path string
	status       int
	message      string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s %s: %d %s: %s", r.method, r.path, r.status, http.StatusText(r.status), r.message)
}

func isNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }
func isConflict(err error) bool { return hasStatus(err, http.StatusConflict) }

func hasStatus(err error, status int) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == status
}

type api struct{ client Client }

func (a api) get(ctx context.Context, path string) (item, error) {
	var o item
	err := a.do(ctx, "GET", path, nil, &o)
	return o, err
}

func (a api) send(ctx context.Context, method, path string, body map[string]any) (item, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return item{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	var o item
	err = a.do(ctx, method, path, data, &o)
	return o, err
}

func (a api) list(ctx context.Context, path string) ([]item, error) {
	var l struct {
		Items []item `json:"items"`
	}
	err := a.do(ctx, "GET", path, nil, &l)
	return l.Items, err
}

func (a api) do(ctx context.Context, method, path string, body []byte, into any) error {
	status, answer, err := a.client.Do(ctx, method, path, body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if status < 200 || status > 299 {
		var reason struct {
			Message string `json:"message"`
		}
		// A refusal without a readable message is still a refusal.
		_ = json.Unmarshal(answer, &reason)
		return &refusal{method: method, path: path, status: status, message: reason.Message}
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s %s: answer: %w", method, path, err)
	}
	return nil
}

// wiring lists what the machines are made from. A cluster without gateways in its API has none.
func (a api) wiring(ctx context.Context) (wiring, error) {
	switches, err := a.list(ctx, switchesPath)
	if err != nil {
		return wiring{}, err
	}
	connections, err := a.list(ctx, connectionsPath)
	if err != nil {
		return wiring{}, err
	}
	gateways, err := a.list(ctx, gatewaysPath)
	if err != nil && !isNotFound(err) {
		return wiring{}, err
	}
	return newWiring(switches, connections, gateways), nil
}
