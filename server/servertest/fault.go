package servertest

// Stop freezes the instance as SIGSTOP does: its connections stay open, new
// ones are taken, and nothing answers. Its own clocks go on. Cont ends it, and
// so does the end of the instance. Not for Real.
func (i *Instance) Stop() {
	i.t.Helper()
	i.inMemory("Stop")
	i.mustRun("Stop")
	i.net.Pause(i.cfg.Name)
}

// Cont thaws the instance after Stop. What was sent to it meanwhile arrives.
// Not for Real.
func (i *Instance) Cont() {
	i.t.Helper()
	i.inMemory("Cont")
	i.net.Resume(i.cfg.Name)
}

// CutClients cuts the instance from all clients: their connections go silent,
// and dialing it takes until it fails by its own timeout. The link to its peer
// stays. It holds over restarts until HealClients. Not for Real.
func (i *Instance) CutClients() {
	i.t.Helper()
	i.inMemory("CutClients")
	i.net.Cut(clients, i.cfg.Name)
}

// HealClients ends CutClients. What was on its way arrives, unless its
// connection was given up. Not for Real.
func (i *Instance) HealClients() {
	i.t.Helper()
	i.inMemory("HealClients")
	i.net.Heal(clients, i.cfg.Name)
}

// DropClients resets the connections that clients have to the instance now.
// What was on its way is lost. They can connect again at once. Not for Real.
func (i *Instance) DropClients() {
	i.t.Helper()
	i.inMemory("DropClients")
	i.net.Reset(clients, i.cfg.Name)
}

// FailDisk has the next thing that the instance writes or syncs fail with err,
// such as syscall.EIO or syscall.ENOSPC; nil takes that back. An instance
// whose disk has failed ends by itself (R7), which AwaitEnd waits for; an idle
// one writes nothing. The disk fails once: Restart finds it as it was. Not for
// Real.
func (i *Instance) FailDisk(err error) {
	i.t.Helper()
	i.inMemory("FailDisk")
	i.disk.FailNth(1, err)
}
