// Command assets bundles what browsers get: our TypeScript and CSS in web/,
// with the libraries of web/node_modules, minified, into a folder, each file
// beside its gzipped form. The same input gives the same bytes.
package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	from := flag.String("from", "web", "folder of the sources")
	to := flag.String("to", "internal/web/assets", "folder to write to")
	flag.Parse()
	if err := build(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "assets:", err)
		os.Exit(1)
	}
}

func build(from, to string) error {
	abs, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	out := api.Build(api.BuildOptions{
		AbsWorkingDir: abs,
		EntryPoints:   []string{"app.ts", "theme.ts", "app.css"},
		Outdir:        "out",
		Bundle:        true, MinifySyntax: true, MinifyWhitespace: true, MinifyIdentifiers: true,
		Target:   api.ES2022,
		Format:   api.FormatIIFE,
		Loader:   map[string]api.Loader{".svg": api.LoaderDataURL},
		LogLevel: api.LogLevelWarning,
	})
	if len(out.Errors) > 0 {
		return fmt.Errorf("%d errors", len(out.Errors))
	}
	for _, f := range out.OutputFiles {
		var zipped bytes.Buffer
		z, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := z.Write(f.Contents); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		name := filepath.Join(to, filepath.Base(f.Path))
		if err := os.WriteFile(name, f.Contents, 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(name+".gz", zipped.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
