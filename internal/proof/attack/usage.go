package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// A usage is the resources of a process, as Linux reports them.
type usage struct {
	memory, descriptors int
	cpu                 time.Duration
}

const (
	procTick = 10 * time.Millisecond // of times in /proc
	procCPU  = 11                    // fields between the process's name and its times
)

// readUsage returns the usage of a process.
func readUsage(pid int) (u usage, err error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	pages, err := os.ReadFile(dir + "statm")
	if err != nil {
		return u, err
	}
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return u, err
	}
	files, err := os.ReadDir(dir + "fd")
	if err != nil {
		return u, err
	}
	resident, shared := fieldAt(pages, 1), fieldAt(pages, 2)
	u.memory = (resident - shared) * os.Getpagesize()
	u.descriptors = len(files)
	stat = stat[bytes.LastIndexByte(stat, ')')+1:]
	u.cpu = time.Duration(fieldAt(stat, procCPU)+fieldAt(stat, procCPU+1)) * procTick
	return u, nil
}

// fieldAt returns a field of a line of numbers, 0 if it has none.
func fieldAt(line []byte, field int) int {
	fields := bytes.Fields(line)
	if field >= len(fields) {
		return 0
	}
	n, _ := strconv.Atoi(string(fields[field])) // a field that is no number counts as 0
	return n
}

// watchUsage returns the most of a process until ctx ends.
func watchUsage(ctx context.Context, pid int, most usage) usage {
	for {
		if u, err := readUsage(pid); err == nil {
			most.memory, most.descriptors = max(most.memory, u.memory), max(most.descriptors, u.descriptors)
		}
		select {
		case <-ctx.Done():
			return most
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// A cpuTimes is how the processors were used since the machine has started, in ticks.
type cpuTimes struct{ all, stolen float64 }

// readCPUTimes returns that as Linux says it; zero: it is not said.
func readCPUTimes() cpuTimes {
	b, _ := os.ReadFile("/proc/stat") // elsewhere there is none
	return parseCPUTimes(string(b))
}

// parseCPUTimes reads the first line of /proc/stat.
func parseCPUTimes(stat string) (p cpuTimes) {
	line, _, _ := strings.Cut(stat, "\n")
	const first, stolen = 1, 8 // fields; after the second stand times that are part of others
	for n := first; n <= stolen; n++ {
		ticks := float64(fieldAt([]byte(line), n))
		if p.all += ticks; n == stolen {
			p.stolen = ticks
		}
	}
	return p
}

// stolenShare returns the share that the host of the machine gave to others.
func (p cpuTimes) stolenShare(before cpuTimes) float64 {
	if all := p.all - before.all; all > 0 {
		return (p.stolen - before.stolen) / all
	}
	return 0
}
