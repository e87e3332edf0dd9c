package apiserver_test

import (
	"os"
	"testing"

	"k8s.io/klog/v2"
)

// TestMain keeps upstream's log, which is process-wide, out of the tests' output.
func TestMain(m *testing.M) {
	klog.LogToStderr(false)
	klog.SetLogger(klog.Logger{})
	os.Exit(m.Run())
}
