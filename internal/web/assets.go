package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed all:assets
var assetFiles embed.FS

// needed are the files that pages name. `make assets` makes them from web/.
var needed = []string{"app.css", "app.js", "theme.js"}

// assets are the files that browsers fetch, each under a name that holds its
// digest, so that they may keep it for ever.
type assets struct {
	names map[string]string // digested names by plain ones
	files map[string]asset  // by digested name
}

type asset struct {
	kind        string
	plain, gzip []byte
}

func readAssets() (*assets, error) {
	a := &assets{names: map[string]string{}, files: map[string]asset{}}
	for _, name := range needed {
		plain, err := fs.ReadFile(assetFiles, path.Join("assets", name))
		if err != nil {
			return nil, fmt.Errorf("this binary was built without %s: run make assets, and build it again", name)
		}
		zipped, err := fs.ReadFile(assetFiles, path.Join("assets", name+".gz"))
		if err != nil {
			return nil, fmt.Errorf("this binary was built without %s.gz: run make assets, and build it again", name)
		}
		sum := sha256.Sum256(plain)
		ext := path.Ext(name)
		digested := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:8]) + ext
		a.names[name] = "/assets/" + digested
		a.files[digested] = asset{mime.TypeByExtension(ext), plain, zipped}
	}
	return a, nil
}

// address is where a browser finds a file.
func (a *assets) address(name string) (string, error) {
	if at, ok := a.names[name]; ok {
		return at, nil
	}
	return "", fmt.Errorf("no asset %q", name)
}

func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	f, ok := a.files[r.PathValue("name")]
	if !ok {
		http.Error(w, "There is no such file.", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	body := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.gzip
	}
	_, _ = w.Write(body) // who has gone needs no answer
}
