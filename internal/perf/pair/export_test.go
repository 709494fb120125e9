package pair

import "os"

// Process returns the running process of an instance.
func (in *Instance) Process() *os.Process {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.process.Process
}

// Suspend and Resume are what an Instance does with its process.
var (
	Suspend = suspend
	Resume  = resume
)
