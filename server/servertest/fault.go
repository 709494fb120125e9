package servertest

// Freeze freezes the instance as SIGSTOP does: its connections stay open, new
// connections are accepted, and nothing answers. Its own clocks go on. The freeze
// lasts until Thaw or until the instance ends. Not for Real.
func (i *Instance) Freeze() {
	i.t.Helper()
	i.requireInMemory("Freeze")
	i.requireRunning("Freeze")
	i.net.Pause(i.cfg.Name)
}

// Thaw ends Freeze. Everything that was sent to the instance meanwhile arrives. Not
// for Real.
func (i *Instance) Thaw() {
	i.t.Helper()
	i.requireInMemory("Thaw")
	i.net.Resume(i.cfg.Name)
}

// CutClients cuts the instance off from all clients: their connections go silent,
// and a new dial hangs until its own timeout. The link to the peer stays up. The
// cut survives restarts and lasts until HealClients. Not for Real.
func (i *Instance) CutClients() {
	i.t.Helper()
	i.requireInMemory("CutClients")
	i.net.Cut(clients, i.cfg.Name)
}

// HealClients ends CutClients. Bytes that were in transit arrive, unless their
// connection was given up. Not for Real.
func (i *Instance) HealClients() {
	i.t.Helper()
	i.requireInMemory("HealClients")
	i.net.Heal(clients, i.cfg.Name)
}

// ResetClients resets all current connections of clients to the instance. Bytes
// in transit are lost. Clients can connect again at once. Not for Real.
func (i *Instance) ResetClients() {
	i.t.Helper()
	i.requireInMemory("ResetClients")
	i.net.Reset(clients, i.cfg.Name)
}

// FailDisk makes the next write or sync of the instance fail with err, such as
// syscall.EIO or syscall.ENOSPC; nil cancels a failure that has not happened yet.
// An instance ends by itself when its disk fails, since it cannot know which data
// is durable; AwaitEnd waits for that. An idle instance writes nothing. The
// disk fails once: Restart finds it as it was. Not for Real.
func (i *Instance) FailDisk(err error) {
	i.t.Helper()
	i.requireInMemory("FailDisk")
	i.disk.FailNth(1, err)
}
