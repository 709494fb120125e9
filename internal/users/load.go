package users

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// Load reads and checks a users file. If the file cannot be used, the error is a *FileError or
// several of them joined.
func Load(file string) (*Set, error) {
	text, err := read(file)
	if err != nil {
		return nil, err
	}
	return parse(file, text)
}

// read returns the text of a file, cut off after maxFileBytes+1 bytes. The error is a *FileError.
func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, &FileError{File: file, Text: fmt.Sprintf("cannot be read: %v", err)}
	}
	defer f.Close()
	if err := checkMode(f); err != nil {
		return nil, &FileError{File: file, Text: err.Error()}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, &FileError{File: file, Text: fmt.Sprintf("cannot be read: %v", err)}
	}
	return text, nil
}

// checkMode requires a file that only its owner can access.
func checkMode(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	mode := info.Mode()
	switch {
	case !mode.IsRegular():
		return errors.New("is not a regular file")
	case mode.Perm()&0o077 != 0 && runtime.GOOS != "windows" && !failpoint.On(failpoint.UsersAnyMode):
		return fmt.Errorf("has mode %04o, so that other users of the machine can access it: chmod 600 it, and set new passwords if somebody may have read it", mode.Perm())
	}
	return nil
}
