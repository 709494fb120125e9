package users_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/smalldisk"
	"github.com/holdfast-mq/holdfast/internal/users"
)

// On a full disk a change fails, and the file stays as it is, without another file beside it.
func TestEditOnAFullDisk(t *testing.T) {
	smalldisk.Run(t, "1m", func(dir string) {
		file := filepath.Join(dir, "users.yaml")
		if err := os.WriteFile(file, []byte(handmade), 0o600); err != nil {
			t.Fatal(err)
		}
		rest := smalldisk.Fill(t, dir)
		for name, err := range map[string]error{
			"add":    users.Add(file, users.NewUser{Name: "new", Cert: "new"}),
			"remove": users.Remove(file, "flow"),
			"make":   users.Add(filepath.Join(dir, "none.yaml"), users.NewUser{Name: "new", Cert: "new"}),
		} {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := readFile(t, file); got != handmade {
			t.Errorf("the file has changed:\n%s", got)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
			t.Errorf("files %v, %v", files, err)
		}
		if err := errors.Join(os.Remove(rest), users.Remove(file, "flow")); err != nil {
			t.Errorf("with space again: %v", err)
		}
	})
}
