package scram

import "crypto/tls"

// Binding returns the tls-exporter value of a connection (RFC 9266), or nil for a
// connection without TLS, before its handshake, or older than TLS 1.3. Both sides then
// converse without channel binding.
func Binding(state *tls.ConnectionState) []byte {
	if state == nil || !state.HandshakeComplete || state.Version < tls.VersionTLS13 {
		return nil
	}
	binding, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		return nil // TLS 1.3 has no such error
	}
	return binding
}
