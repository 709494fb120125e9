package seglog

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// runSteps runs steps until one fails.
func runSteps(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// ignoreNotExist returns err, or nil if err says that a file does not exist.
func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// withFile opens an existing file, calls do with it, and closes it.
func withFile(disk FS, name string, do func(File) error) error {
	f, err := disk.OpenFile(name, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return do(f)
}

// writeFile makes a file with the content that fill writes. The content is durable afterwards, the
// name is not. The file is closed before it is renamed, since some systems cannot rename an open
// file.
func writeFile(disk FS, name string, fill func(File) error) error {
	f, err := disk.OpenFile(name, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil && !failpoint.On(failpoint.DRenameBeforeSync) {
		err = f.Sync()
	}
	return cmp.Or(err, f.Close())
}

// rename renames a file within a directory, durably.
func rename(disk FS, dir, from, to string) error {
	err := disk.Rename(path.Join(dir, from), path.Join(dir, to))
	if err == nil && !failpoint.On(failpoint.DNoDirSync) {
		err = disk.SyncDir(dir)
	}
	return err
}
