//go:build unix

package main_test

import (
	"io/fs"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Only the owner has access to the files of an instance, whatever the umask is.
func TestModes(t *testing.T) {
	file := write(t, t.TempDir(), lone)
	p := startCommand(t, exec.Command("sh", "-c", `umask 0; exec "$0" -config "$1"`, daemon, file))
	p.awaitReady()
	connect(t, p.addr, "pubber").publish(1, 10)
	if out, err := exec.Command(daemon, "lost", "-config", file, "nobody").CombinedOutput(); err == nil {
		t.Errorf("a lone instance has declared a loss: %s", out)
	}
	p.signal(syscall.SIGTERM)
	p.exit()
	entries := 0
	err := filepath.WalkDir(filepath.Join(filepath.Dir(file), "journal"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		entries++
		return err
	})
	if err != nil || entries < 3 {
		t.Errorf("%d files and directories, %v", entries, err)
	}
}
