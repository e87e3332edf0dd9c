package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Browser is a headless Chromium with one tab. What its console says is wrong
// fails the test.
type Browser struct {
	ctx context.Context

	mu     sync.Mutex
	wrongs []string
}

// browserWait bounds every wait for a page.
const browserWait = time.Minute

// Chromium starts a browser of its own for a test.
func Chromium(tb testing.TB) *Browser {
	tb.Helper()
	path := os.Getenv("HEDGEROW_CHROMIUM")
	if path == "" {
		path = "/usr/bin/chromium"
	}
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("there is no Chromium: install Debian's package chromium, or say where it is in HEDGEROW_CHROMIUM (%v)", err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.UserDataDir(tb.TempDir()))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	b := &Browser{}
	ctx, closeTab := chromedp.NewContext(alloc, chromedp.WithListener(b.hear))
	b.ctx = ctx
	tb.Cleanup(func() {
		closeTab()
		stop()
	})
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		tb.Fatalf("start Chromium: %v", err)
	}
	return b
}

func (b *Browser) hear(ev any) {
	var wrong string
	switch e := ev.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			wrong = e.Entry.Text + " " + e.Entry.URL
		}
	case *runtime.EventExceptionThrown:
		wrong = e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			wrong += " " + x.Description
		}
	}
	if wrong == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrongs = append(b.wrongs, wrong)
}

// Wrongs returns what the console complained of since the last call, but for
// lines that hold one of the expected texts.
func (b *Browser) Wrongs(expected ...string) (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
next:
	for _, w := range b.wrongs {
		for _, e := range expected {
			if strings.Contains(w, e) {
				continue next
			}
		}
		all = append(all, w)
	}
	b.wrongs = nil
	return all
}

func (b *Browser) do(tb testing.TB, what string, steps ...chromedp.Action[chromedp.Void]) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserWait)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		tb.Fatalf("%s: %v\n%s", what, err, b.dump())
	}
}

// dump is what the page shows, for messages.
func (b *Browser) dump() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// Go opens an address.
func (b *Browser) Go(tb testing.TB, url string) {
	tb.Helper()
	b.do(tb, "open "+url, chromedp.Navigate(url))
}

// Click clicks on what a CSS selector finds, when it is there.
func (b *Browser) Click(tb testing.TB, selector string) {
	tb.Helper()
	b.do(tb, "click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Type types into a field.
func (b *Browser) Type(tb testing.TB, selector, text string) {
	tb.Helper()
	b.do(tb, "type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Await waits until an expression of JavaScript is true.
func (b *Browser) Await(tb testing.TB, what, expression string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserWait)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		// It fails while another page is on its way.
		done, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if err == nil && done {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("never: %s: %v\n%s", what, err, b.dump())
		}
	}
}

// AwaitText waits until the page shows a text.
func (b *Browser) AwaitText(tb testing.TB, text string) {
	tb.Helper()
	b.Await(tb, fmt.Sprintf("the page shows %q", text), fmt.Sprintf(`document.body.innerText.includes(%q)`, text))
}

// Text is what the page shows.
func (b *Browser) Text(tb testing.TB) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserWait)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// Run evaluates an expression of JavaScript.
func (b *Browser) Run(tb testing.TB, expression string) any {
	tb.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserWait)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[any](expression))
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// Accessible fails the test for what axe finds wrong with the page as it is.
func (b *Browser) Accessible(tb testing.TB, what string) {
	tb.Helper()
	axe, err := os.ReadFile(filepath.Join(root(), "web", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		tb.Fatalf("axe is not at hand: run make assets (%v)", err)
	}
	b.Await(tb, "nothing moves", `document.getAnimations().length === 0`) // colours fade
	ctx, cancel := context.WithTimeout(b.ctx, browserWait)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[any](string(axe)+"\n;0")); err != nil {
		tb.Fatal(err)
	}
	wrong, err := chromedp.Run(ctx, chromedp.Evaluate[string](`axe.run().then(r => r.violations.map(v => v.id + ": " + v.help + "\n  " + v.nodes.slice(0, 5).map(n => n.html + " " + n.failureSummary.replaceAll("\n", " ")).join("\n  ")).join("\n"))`, chromedp.EvalAwaitPromise))
	if err != nil {
		tb.Fatal(err)
	}
	if wrong != "" {
		tb.Errorf("axe finds wrong with %s:\n%s", what, wrong)
	}
}

// Shots has axe look at the page, and takes pictures of it for people to look at, light and dark, on a
// wide screen and on a phone, into the folder screens beside the tests.
func (b *Browser) Shots(tb testing.TB, name string) {
	tb.Helper()
	dir := filepath.Join(root(), "e2e", "screens")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	for _, theme := range []string{"light", "dark"} {
		b.Run(tb, fmt.Sprintf(`document.documentElement.dataset.bsTheme = %q`, theme))
		b.Accessible(tb, name+", "+theme)
		for _, width := range []int64{1440, 390} {
			b.do(tb, "set the screen", chromedp.EmulateViewport(width, 900))
			ctx, cancel := context.WithTimeout(b.ctx, browserWait)
			png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
			cancel()
			if err != nil {
				tb.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%s-%d.png", name, theme, width)), png, 0o644); err != nil {
				tb.Fatal(err)
			}
		}
	}
	b.do(tb, "set the screen", chromedp.EmulateViewport(1440, 900))
}
