//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// inject has strace tamper with each fsync of an instance from now on, until detach.
func inject(in *instance, how string) (detach func(), err error) {
	cmd := exec.Command("strace", "-f", "-p", strconv.Itoa(in.pid()), "-o", os.DevNull,
		"-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:"+how)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	attached, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for scan := bufio.NewScanner(stderr); scan.Scan(); {
			if strings.Contains(scan.Text(), "attached") {
				select {
				case attached <- struct{}{}:
				default:
				}
			}
		}
		cmd.Wait()
	}()
	detach = func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
	}
	select {
	case <-attached:
		return detach, nil
	case <-ended:
		return nil, fmt.Errorf("strace did not attach to %s", in.name)
	case <-time.After(patience):
		detach()
		return nil, fmt.Errorf("strace did not attach to %s within %v", in.name, patience)
	}
}
