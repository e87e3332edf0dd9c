package load

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// Count returns how many objects the server holds of the kinds that CRDs define.
func (l *Loader) Count(ctx context.Context) (int, error) {
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := l.get(ctx, crds.path("", ""), jsonType, &list); err != nil {
		return 0, err
	}
	total := 0
	for _, raw := range list.Items {
		var d definition
		if err := json.Unmarshal(raw, &d); err != nil {
			return 0, err
		}
		at := slices.IndexFunc(d.Spec.Versions, func(v served) bool { return v.Served })
		if at < 0 {
			continue
		}
		var page struct {
			Metadata struct {
				Remaining int `json:"remainingItemCount"`
			} `json:"metadata"`
			Items []json.RawMessage `json:"items"`
		}
		res := resource{group: d.Spec.Group, version: d.Spec.Versions[at].Name, plural: d.Spec.Names.Plural}
		if err := l.get(ctx, res.path("", "")+"?limit=1", metadataType, &page); err != nil {
			return 0, fmt.Errorf("count %s: %w", res.plural, err)
		}
		total += len(page.Items) + page.Metadata.Remaining
	}
	return total, nil
}
