package servercore

import "sync"

// maxTurnedAway bounds the clients whose attempts a full disk counts. Further ones have all their
// lines.
const maxTurnedAway = 1024

// fullDisk counts the sessions of each client that have ended because the disk is nearly full. Such
// a client comes again and again, so its log has the first session and the first one after the disk
// has space again. It is safe for concurrent use.
type fullDisk struct {
	mu       sync.Mutex
	attempts map[string]int // guarded by mu; sessions, by client name
}

// note counts a session that ends because of the disk.
func (d *fullDisk) note(client string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.attempts == nil {
		d.attempts = make(map[string]int)
	}
	if _, known := d.attempts[client]; known || len(d.attempts) < maxTurnedAway {
		d.attempts[client]++
	}
}

// logon reports whether a logon has no line. Otherwise attempts is the number of sessions that the
// disk has ended since the last line about a logon of the client.
func (d *fullDisk) logon(client string, full bool) (attempts int, quiet bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	attempts = d.attempts[client]
	if full && attempts > 0 {
		return 0, true
	}
	delete(d.attempts, client)
	return attempts, false
}
