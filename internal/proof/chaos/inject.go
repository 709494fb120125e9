//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A straceInjection is a strace that tampers with each fsync of an instance.
type straceInjection struct {
	cmd    *exec.Cmd
	output string        // file of its trace
	ended  chan struct{} // closed when it has ended
}

// straceLine is the command line of a strace that tampers with each fsync of the command
// after it.
func straceLine(output, how string) []string {
	return []string{"strace", "-f", "-o", output, "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:" + how}
}

// attachStrace has strace tamper with each fsync of an instance from now on.
func attachStrace(in *instance, how string) (*straceInjection, error) {
	i := &straceInjection{output: filepath.Join(in.dir, "strace.out"), ended: make(chan struct{})}
	line := append(straceLine(i.output, how), "-p", strconv.Itoa(in.pid()))
	i.cmd = exec.Command(line[0], line[1:]...)
	stderr, err := i.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := i.cmd.Start(); err != nil {
		return nil, err
	}
	attached := make(chan struct{}, 1)
	go func() {
		defer close(i.ended)
		for scan := bufio.NewScanner(stderr); scan.Scan(); {
			if strings.Contains(scan.Text(), "attached") {
				select {
				case attached <- struct{}{}:
				default:
				}
			}
		}
		i.cmd.Wait()
	}()
	select {
	case <-attached:
		return i, nil
	case <-i.ended:
		return nil, fmt.Errorf("strace did not attach to %s", in.name)
	case <-time.After(stepTimeout):
		i.detach()
		return nil, fmt.Errorf("strace did not attach to %s within %v", in.name, stepTimeout)
	}
}

// detach ends it and returns how many calls it has tampered with.
func (i *straceInjection) detach() (calls int, err error) {
	i.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-i.ended:
	case <-time.After(5 * time.Second):
		i.cmd.Process.Kill()
		<-i.ended
	}
	text, err := os.ReadFile(i.output)
	if err != nil {
		return 0, err
	}
	return bytes.Count(text, []byte("INJECTED")), nil
}
