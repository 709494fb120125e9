package failpoint

// The planted bugs. Most are named after the rule that they break.
const (
	// R1Holes lets an instance take a message whose predecessor it lacks.
	R1Holes Bug = "r1-holes"
	// R1RunHoles journals a run of messages that has holes inside.
	R1RunHoles Bug = "r1-run-holes"
	// R1NoDuplicateCheck journals a message again that the journal has already.
	R1NoDuplicateCheck Bug = "r1-no-duplicate-check"
	// R1AnyNumber accepts numbers from the wire above the limit, so that sums overflow.
	R1AnyNumber Bug = "r1-any-number"
	// R1AckedBeyondLast accepts a logon that states more numbers as let go than as given out.
	R1AckedBeyondLast Bug = "r1-acked-beyond-last"
	// R1LeavesOut takes a message that leaves out numbers that its client did not state as rejected.
	R1LeavesOut Bug = "r1-leaves-out"
	// R1CoveredIsDuplicate answers every number at or below have with the watermark.
	R1CoveredIsDuplicate Bug = "r1-covered-is-duplicate"
	// R1ForeignTrusted acknowledges numbers of a life above those that its store has given out.
	R1ForeignTrusted Bug = "r1-foreign-trusted"
	// R1RejectIsHole makes the client not state which numbers were rejected.
	R1RejectIsHole Bug = "r1-reject-is-hole"
	// R1NewBeforeReplay sends new messages before the kept messages have been replayed.
	R1NewBeforeReplay Bug = "r1-new-before-replay"
	// G1SendBeforeStore hands a message to the wire before the store has it.
	G1SendBeforeStore Bug = "g1-send-before-store"
	// G1CancelDropsDelivery removes a message from the store when the caller's context ends.
	G1CancelDropsDelivery Bug = "g1-cancel-drops-delivery"
	// G1LetGoNotTold lets a rejected message go although the application was not told.
	G1LetGoNotTold Bug = "g1-let-go-untold"
	// G2LocalAck acknowledges as safe a message that is durable on this instance only.
	G2LocalAck Bug = "g2-local-ack"
	// G2LogonHave puts have(p) into the s of the logon ack.
	G2LogonHave Bug = "g2-logon-have"
	// G2TicketByNeighbour settles the ticket of a rejected message by the ack of a later one.
	G2TicketByNeighbour Bug = "g2-ticket-by-neighbour"
	// G2TicketGuesses reports a message as safe although an earlier process has let it go, for an unknown reason.
	G2TicketGuesses Bug = "g2-ticket-guesses"
	// R2HelloWithoutHave begins a link at the live end of the log instead of at the peer's vector.
	R2HelloWithoutHave Bug = "r2-hello-without-have"
	// R2AnyProof accepts any proof of the link secret.
	R2AnyProof Bug = "r2-any-proof"
	// R2ProofWithoutRole leaves the role of its side out of a proof.
	R2ProofWithoutRole Bug = "r2-proof-without-role"
	// R2ProofWithoutNonces leaves the nonces out of a proof, so that it is not bound to one connection.
	R2ProofWithoutNonces Bug = "r2-proof-without-nonces"
	// R2ProofWithoutHellos leaves the hellos out of a proof, so that they can be changed on the way.
	R2ProofWithoutHellos Bug = "r2-proof-without-hellos"
	// R2AnyName admits peers that the configuration does not name.
	R2AnyName Bug = "r2-any-name"
	// R2TellsStrangers tells a stranger without a proof the reason of the refusal.
	R2TellsStrangers Bug = "r2-tells-strangers"
	// R2RivalsTakeTurns links two processes of one name alternately.
	R2RivalsTakeTurns Bug = "r2-rivals-take-turns"
	// R2AnyCluster links journals of different groups.
	R2AnyCluster Bug = "r2-any-cluster"
	// R2EchoSkipsBetween skips all records between two runs that came from a peer.
	R2EchoSkipsBetween Bug = "r2-echo-too-far"
	// R2FoundsDespiteThird lets two empty journals found a group although a third journal may have the group's records.
	R2FoundsDespiteThird Bug = "r2-founds-beside-one"
	// R2FoundsAlone lets an empty journal found a group of its own.
	R2FoundsAlone Bug = "r2-founds-alone"
	// R2AdoptsWithRecords lets a journal that has records adopt the id of a group.
	R2AdoptsWithRecords Bug = "r2-adopts-with-records"
	// R2OwnOnly sends a peer only the messages that clients sent to this instance.
	R2OwnOnly Bug = "r2-own-only"
	// R2AckOnReceipt acknowledges on the link before the fsync.
	R2AckOnReceipt Bug = "r2-ack-on-receipt"
	// R2StaleWatermark keeps the watermarks of a peer after its connection has ended.
	R2StaleWatermark Bug = "r2-stale-watermark"
	// R2HaveForgotten forgets have(p) together with the records that retention removed.
	R2HaveForgotten Bug = "r2-have-forgotten"
	// R2TrimUnacknowledged lets retention remove records that a destination has not acknowledged.
	R2TrimUnacknowledged Bug = "r2-trim-unacknowledged"
	// R2MarkerIsFloor raises the floor to a gone marker, as if everything below it had been removed.
	R2MarkerIsFloor Bug = "r2-marker-is-floor"
	// R2SealedTooOld seals a segment at open with an age that was noted before its last messages.
	R2SealedTooOld Bug = "r2-sealed-too-old"
	// R2TrimsInDoubt removes records by age while the wall clocks of two instances disagree.
	R2TrimsInDoubt Bug = "r2-trims-in-doubt"
	// R2WallClock lets retention compute ages from the wall clock.
	R2WallClock Bug = "r2-wall-clock"
	// R2StatesRepeat accepts the state of one publisher any number of times in a hello.
	R2StatesRepeat Bug = "r2-states-repeat"
	// R3MarkerEarly sends an elsewhere marker before its messages are durable here.
	R3MarkerEarly Bug = "r3-marker-early"
	// R3NoMarker sends no marker in place of messages that a link does not carry.
	R3NoMarker Bug = "r3-no-marker"
	// R3SilentMove resumes a subscription on another instance although its topic is not replicated.
	R3SilentMove Bug = "r3-silent-move"
	// R3AsyncMove resumes a bookmark subscription on a server that no synchronous link feeds.
	R3AsyncMove Bug = "r3-async-move"
	// R3ClaimsReplicated answers a subscription as replicated although no link carries its topic.
	R3ClaimsReplicated Bug = "r3-not-said"
	// R4NoGapCheck lets a client publish to an instance that lacks messages that the client has let go of.
	R4NoGapCheck Bug = "r4-no-gap-check"
	// R4DecreeAgain lets a publisher use one decree again and again.
	R4DecreeAgain Bug = "r4-decree-again"
	// R4DecreeUseForgotten does not record that a publisher without a message has used the decree.
	R4DecreeUseForgotten Bug = "r4-decree-use-forgotten"
	// R4DecreeNotIntact does not make an instance intact in a group in which none is.
	R4DecreeNotIntact Bug = "r4-decree-not-intact"
	// R4DecreeLetGo journals the messages that a decree declares lost as let go, so that nobody is told.
	R4DecreeLetGo Bug = "r4-decree-let-go"
	// R4DecreeLinked makes a decree although an instance that it names is connected.
	R4DecreeLinked Bug = "r4-decree-linked"
	// R4DecreeAlone declares messages lost without asking the peers that the decree does not name.
	R4DecreeAlone Bug = "r4-decree-alone"
	// R4LossNotTold does not tell a publisher the loss that its logon has found, if its store knows the incarnation.
	R4LossNotTold Bug = "r4-loss-untold"
	// R2AnyIncarnation links with an instance that is not a member of the decree.
	R2AnyIncarnation Bug = "r2-any-incarnation"
	// R10OldIncarnation lets a client go on at a server of a lower incarnation than it has seen.
	R10OldIncarnation Bug = "r10-old-incarnation"
	// R5LetGoOnSingle lets the publish store let go of messages that were acked single.
	R5LetGoOnSingle Bug = "r5-let-go-on-single"
	// R5NeverDowngrade never downgrades a dead link although downgrade_after is set.
	R5NeverDowngrade Bug = "r5-never-downgrade"
	// R5DowngradeNotReplanned does not look earlier than planned for a downgrade, although one becomes due before.
	R5DowngradeNotReplanned Bug = "r5-looks-late"
	// R5HeldNotCounted does not count a held publish as waiting, so that it waits for a peer for ever.
	R5HeldNotCounted Bug = "r5-held-not-counted"
	// R5LeaveOutForgotten lets a destination that an operator leaves out count again at once.
	R5LeaveOutForgotten Bug = "r5-leave-out-forgotten"
	// R5MinSyncIgnored downgrades a destination although too few others are left.
	R5MinSyncIgnored Bug = "r5-min-sync-ignored"
	// R5OneWayInSync lets an instance that does not replicate back report that it is in sync.
	R5OneWayInSync Bug = "r5-one-way-in-sync"
	// R5NeverGiveUp keeps the log for an absent destination for ever.
	R5NeverGiveUp Bug = "r5-never-give-up"
	// R5NoBound accepts messages into a publish store beyond its bound.
	R5NoBound Bug = "r5-no-bound"
	// R5ClaimsInSync reports in sync while a sync destination is away, behind or downgraded.
	R5ClaimsInSync Bug = "r5-said-in-sync"
	// R6IntactNotTold does not tell linked peers that an instance has become intact.
	R6IntactNotTold Bug = "r6-intact-unsaid"
	// R6ServeAtOnce serves clients before the instance has caught up.
	R6ServeAtOnce Bug = "r6-serve-at-once"
	// R6AwaitsAll waits at the start for every destination, asynchronous ones included.
	R6AwaitsAll Bug = "r6-awaits-all"
	// R6ForgetsPeers forgets at a restart which peers replicate to this instance.
	R6ForgetsPeers Bug = "r6-forgets-peers"
	// R6WaitForEver waits without a bound for a peer that makes no progress.
	R6WaitForEver Bug = "r6-wait-for-ever"
	// R6ServesOutsideGroup serves with an empty journal although its group has another cluster id.
	R6ServesOutsideGroup Bug = "r6-beside-its-group"
	// R6OpenNotReported opens without the peers and does not report it.
	R6OpenNotReported Bug = "r6-not-said"
	// R7CountsDuringSync counts records that were appended during an fsync as covered by it.
	R7CountsDuringSync Bug = "r7-counts-later"
	// R7TrustPageCache treats records as durable that were read back at the start.
	R7TrustPageCache Bug = "r7-trust-page-cache"
	// R7IgnoreSyncError goes on after a failed fsync.
	R7IgnoreSyncError Bug = "r7-ignore-sync-error"
	// R7IgnoreCommitError goes on after a failed commit of a bookmark store.
	R7IgnoreCommitError Bug = "r7-ignore-commit-error"
	// R7NoReserve does not give up the reserve file when it opens a journal on a full disk.
	R7NoReserve Bug = "r7-no-reserve"
	// R7NoMinFree accepts publishes and records of links until the disk is completely full.
	R7NoMinFree Bug = "r7-no-min-free"
	// R5TrimsLater never gives up an absent destination although the disk is nearly full.
	R5TrimsLater Bug = "r5-trims-later"
	// R8AppendBehindTorn appends records behind a torn tail instead of cutting it off.
	R8AppendBehindTorn Bug = "r8-append-behind-torn"
	// R8NewerIsDamage treats a log of a later version as damaged.
	R8NewerIsDamage Bug = "r8-newer-is-damage"
	// R8UnknownRemoved removes a segment whose header cannot be read.
	R8UnknownRemoved Bug = "r8-unknown-removed"
	// R8AsideForgotten loses the good records behind damage.
	R8AsideForgotten Bug = "r8-aside-forgotten"
	// R8MergeLater does not merge the records that were set aside until a peer sends records of their publisher.
	R8MergeLater Bug = "r8-merge-later"
	// AdminUnbounded lets any client of the admin port keep connections open and send long bodies.
	AdminUnbounded Bug = "admin-unbounded"
	// ConfigUnbounded reads a configuration of any size and depth, with aliases.
	ConfigUnbounded Bug = "config-unbounded"
	// UsersAllowWins allows a topic that deny and allow match.
	UsersAllowWins Bug = "users-allow-wins"
	// UsersUnknownAtOnce denies a logon of an unknown user without the work that a known one costs.
	UsersUnknownAtOnce Bug = "users-unknown-at-once"
	// UsersSaltChanges makes up another salt for an unknown user at each logon.
	UsersSaltChanges Bug = "users-salt-changes"
	// UsersComputesAll computes the password hashes of all logons at once.
	UsersComputesAll Bug = "users-computes-all"
	// ReloadHalfFile reads a changed file before its writer has finished.
	ReloadHalfFile Bug = "reload-half-file"
	// UsersNoTurns lets the computations of one source fill the queue for all.
	UsersNoTurns Bug = "users-no-turns"
	// UsersVersionKept changes the users in a file without raising the version.
	UsersVersionKept Bug = "users-version-kept"
	// UsersCertAmbiguous accepts a certificate that has the names of several users.
	UsersCertAmbiguous Bug = "users-cert-ambiguous"
	// UsersCertOfOther accepts a certificate of one user for the logon of another.
	UsersCertOfOther Bug = "users-cert-of-other"
	// UsersUnlocked lets two commands change a file at once.
	UsersUnlocked Bug = "users-unlocked"
	// UsersAnyMode reads a users file that other users of the machine can read.
	UsersAnyMode Bug = "users-any-mode"
	// DAckBeforeSync lets Append of a store with SyncAlways return before the sync.
	DAckBeforeSync Bug = "d-ack-before-sync"
	// DHoleIsEnd does not look for data behind a hole in a file.
	DHoleIsEnd Bug = "d-hole-is-end"
	// DRestNotChecked accepts a frame whose rest does not match its stored sum.
	DRestNotChecked Bug = "d-rest-unsummed"
	// DNoCRC accepts any frame whose length fits, whatever its sum.
	DNoCRC Bug = "d-no-crc"
	// DLengthTrusted allocates memory for a length that a file states before it checks the data.
	DLengthTrusted Bug = "d-length-trusted"
	// DLinkFollowed follows a symbolic link in the directory of a log.
	DLinkFollowed Bug = "d-link-followed"
	// DLockFile locks a file in the directory of a log; such a file can be removed.
	DLockFile Bug = "d-lock-file"
	// DNoDirSync does not sync the directory after it has named a segment.
	DNoDirSync Bug = "d-no-dir-sync"
	// DStageIgnored does not write staged records to their log after a crash.
	DStageIgnored Bug = "d-stage-ignored"
	// DStageOverwritten reuses the stage before its records have been written to the log.
	DStageOverwritten Bug = "d-stage-overwritten"
	// DRenameBeforeSync names a segment before it is synced.
	DRenameBeforeSync Bug = "d-rename-before-sync"
	// DCompactUnsynced puts a compact copy of a database in place before the copy is synced.
	DCompactUnsynced Bug = "d-compact-unsynced"
	// DNoDescriptorIsFailed treats a disk as failed when the process has no file descriptor left for the moment.
	DNoDescriptorIsFailed Bug = "d-scarce-is-failed"
	// DNoRoom lets a publish store accept messages for which its disk has no room.
	DNoRoom Bug = "d-no-room"
	// DAnyMemory lets a session hold any amount of memory.
	DAnyMemory Bug = "d-any-memory"
	// DAnySubscriptions lets a session have any number of subscriptions.
	DAnySubscriptions Bug = "d-any-subscriptions"
	// DAnyList searches the log for any number of bookmarks of one plain subscribe.
	DAnyList Bug = "d-any-list"
	// DWorksWhileEnding goes on working for a session that is ending.
	DWorksWhileEnding Bug = "d-end-unseen"
	// DAnyTopic accepts topics of any length.
	DAnyTopic Bug = "d-any-topic"
	// DAnyPatterns lets a session have patterns of any cost.
	DAnyPatterns Bug = "d-any-patterns"
	// DAnyAddress accepts any number of connections from one address.
	DAnyAddress Bug = "d-any-address"
	// DWithoutLogonStays turns new connections away, instead of old ones that have sent no logon.
	DWithoutLogonStays Bug = "d-strangers-stay"
	// DAnyWithoutLogon starts sessions for any number of connections that send no logon.
	DAnyWithoutLogon Bug = "d-any-crowd"
	// DWakesAll wakes all sessions for each message.
	DWakesAll Bug = "d-wakes-all"
	// DTicksTogether makes sessions that were woken together look again at the same moment.
	DTicksTogether Bug = "d-ticks-together"
	// DSafeWaiterNotWoken does not wake a session whose subscription waits until a message is safe.
	DSafeWaiterNotWoken Bug = "d-waits-unseen"
	// DFillsAll produces the output of all subscriptions before it writes any of it.
	DFillsAll Bug = "d-fills-all"
	// DAnyID accepts ids of any length.
	DAnyID Bug = "d-any-id"
	// DAnyTotal lets all sessions together hold any amount of memory.
	DAnyTotal Bug = "d-any-total"
	// DMemoryWithoutLogon lets a connection without a logon hold as much memory as a session.
	DMemoryWithoutLogon Bug = "d-any-stranger"
	// DMemoryKept does not release the memory of a session that has ended.
	DMemoryKept Bug = "d-memory-kept"
	// DPatternsNotShared compiles each pattern anew.
	DPatternsNotShared Bug = "d-patterns-alone"
	// DWaitsForAll makes a stopping instance wait for each session without a bound.
	DWaitsForAll Bug = "d-waits-for-all"
	// DNoPause matches costly patterns without a pause between turns.
	DNoPause Bug = "d-no-rest"
	// DReadsAll reads for all lagging subscriptions of a session before it does anything else.
	DReadsAll Bug = "d-reads-all"
	// DSlowFrames lets a client take any time to send a frame.
	DSlowFrames Bug = "d-slow-frames"
	// DAnySessions accepts clients until no file descriptor is left.
	DAnySessions Bug = "d-any-sessions"
	// DRetrySync tries a failed fsync again.
	DRetrySync Bug = "d-retry-sync"
	// R9SingleBookmark resumes with the last bookmark instead of the vector.
	R9SingleBookmark Bug = "r9-single-bookmark"
	// R9ByPosition resumes behind the bookmark that is last in the instance's own log.
	R9ByPosition Bug = "r9-by-position"
	// R9StretchSkipped begins behind a stretch of the journal that the vector does not cover.
	R9StretchSkipped Bug = "r9-stretch-skipped"
	// R9ReconnectIsRestart resumes a subscription after a reconnect as a new process would.
	R9ReconnectIsRestart Bug = "r9-reconnect-is-restart"
	// R9NowAgain resumes a subscription that began at NOW at the new NOW.
	R9NowAgain Bug = "r9-now-again"
	// R9NoFilter hands over messages that were received already.
	R9NoFilter Bug = "r9-no-filter"
	// R9DiscardMax moves the discarded vector past messages that are not discarded yet.
	R9DiscardMax Bug = "r9-discard-max"
	// R9MarkOnArrival applies a progress mark before the messages that are queued ahead of it.
	R9MarkOnArrival Bug = "r9-mark-on-arrival"
	// R9AnyPublishers accepts any number of publishers in the place of a subscription.
	R9AnyPublishers Bug = "r9-any-publishers"
	// R9PartMissing accepts a vector in several parts although one is missing.
	R9PartMissing Bug = "r9-part-missing"
	// R9BaseEarly applies a base that comes in parts before the last part.
	R9BaseEarly Bug = "r9-base-early"
	// R9LeftOutAll leaves publishers out of a place although they have matching messages.
	R9LeftOutAll Bug = "r9-left-out-all"
	// R9ElsewhereLeftOut leaves publishers out of a place if their messages were never on this instance.
	R9ElsewhereLeftOut Bug = "r9-elsewhere-left-out"
	// R9ManyTopicsLeftOut leaves publishers out of marks although the ledger does not know all their topics.
	R9ManyTopicsLeftOut Bug = "r9-many-topics-left-out"
	// R9NoMarks sends no progress marks.
	R9NoMarks Bug = "r9-no-marks"
	// R9WithheldNotPassed leaves the place of a subscription before a message that its user may not have.
	R9WithheldNotPassed Bug = "r9-withheld-not-passed"
	// R9SilentGap skips removed messages without reporting a gap.
	R9SilentGap Bug = "r9-silent-gap"
	// R9AnyTopicGap reports a gap to a subscription for messages of any topic.
	R9AnyTopicGap Bug = "r9-any-topic-gap"
	// R9TopicForgotten forgets the topics of the messages that retention removed.
	R9TopicForgotten Bug = "r9-topic-forgotten"
	// R9ResumeIsEpoch resumes a place without received messages as a new subscription.
	R9ResumeIsEpoch Bug = "r9-resume-is-epoch"
	// R9RemovedNotPassed does not report the removed messages of other topics as passed.
	R9RemovedNotPassed Bug = "r9-removed-not-passed"
	// R9GapOfOneInstance takes the gap of one instance for a gap of the group.
	R9GapOfOneInstance Bug = "r9-one-word"
	// R9NotFoundAnyway sends a plain server an option that it may not know and that nobody asked for.
	R9NotFoundAnyway Bug = "r9-not-found-anyway"
	// R9MarkBeforeReplay counts the marks of a plain server that are ahead of its replay.
	R9MarkBeforeReplay Bug = "r9-mark-before-replay"
	// R9PlainMarksIgnored ignores the marks of a plain server.
	R9PlainMarksIgnored Bug = "r9-plain-marks-ignored"
	// R9PlainListRepeats delivers a message that a plain list names, if it stands behind the earliest one of the list.
	R9PlainListRepeats Bug = "r9-plain-list-repeats"
	// R9StretchForOthers adds a message to the open stretch although that is for other subscriptions.
	R9StretchForOthers Bug = "r9-stretch-for-others"
	// R9CompletedNamesAny names in a completed ack a message that the subscription was not shown.
	R9CompletedNamesAny Bug = "r9-completed-names-any"
	// R9SideTakesAll accepts messages of any publisher in a side session.
	R9SideTakesAll Bug = "r9-side-takes-all"
	// R9SideSkips reads on in a publisher behind messages that the other instance has removed.
	R9SideSkips Bug = "r9-side-skips"
	// R9PeerNotAwaited reports a gap although an instance that is away may have the missing messages.
	R9PeerNotAwaited Bug = "r9-peer-not-awaited"
	// R9GapNotCommon reports a gap for messages that one of the asked instances still has.
	R9GapNotCommon Bug = "r9-gap-not-common"
	// R9DiscardedIsGap reports a gap for messages that were discarded out of order.
	R9DiscardedIsGap Bug = "r9-discarded-is-gap"
	// R9LostNotTold does not report lost messages to a subscription that has nothing of their publisher.
	R9LostNotTold Bug = "r9-lost-untold"
	// R10IntactAtOnce treats a journal as intact that was empty when it met its group.
	R10IntactAtOnce Bug = "r10-intact-at-once"
	// R10LostAsLetGo reports messages as let go by their publisher that may have been lost with a disk.
	R10LostAsLetGo Bug = "r10-let-go-unheard"
	// R10SameLife keeps the life of a store that starts empty.
	R10SameLife Bug = "r10-same-life"
	// R10RollbackStays goes on at once at a server that has more of the store's life than the store.
	R10RollbackStays Bug = "r10-rollback-stays"
	// R10RenewsFreely begins a new life whenever a server reports that it has more than the store.
	R10RenewsFreely Bug = "r10-renews-freely"
	// R10UnknownIsGap treats a publisher that no instance knows any more as a publish gap.
	R10UnknownIsGap Bug = "r10-unknown-is-gap"
	// R10ClockNotCompared accepts messages again that a forgotten life may have sent before.
	R10ClockNotCompared Bug = "r10-clock-not-compared"
	// R10ForgetsAlone forgets publishers although a peer has not agreed.
	R10ForgetsAlone Bug = "r10-forgets-alone"
	// R10StalePromise tells nothing about a publisher to a peer that may have forgotten it and now has a session of it.
	R10StalePromise Bug = "r10-promise-stays"
	// R10TellsForgotten tells a peer in every hello about a publisher that the peer has forgotten.
	R10TellsForgotten Bug = "r10-tells-forgotten"
	// R10ClosedIsRemoved reports the removed messages of a closed publisher to places that can do without it.
	R10ClosedIsRemoved Bug = "r10-closed-is-removed"
	// R10ClosedByOne lets places leave out a publisher that an absent peer may still have.
	R10ClosedByOne Bug = "r10-closed-by-one"
	// R10LeftOutAtOnce lets places leave out a publisher as soon as it is closed, before a backup of a journal has it as closed.
	R10LeftOutAtOnce Bug = "r10-leaves-at-once"
	// R10LeftOutByOwnAge lets places leave out a publisher that was closed long ago here, but perhaps only just now on a peer.
	R10LeftOutByOwnAge Bug = "r10-leaves-here-only"
	// R10ForgetsOutstanding lets a place forget a publisher that has outstanding messages.
	R10ForgetsOutstanding Bug = "r10-forgets-outstanding"
	// R10ClosingNotTold leaves out a publisher that may be forgotten only since the hello, so that the peer keeps waiting for it.
	R10ClosingNotTold Bug = "r10-closing-untold"
	// R10GoneNotTold does not tell a peer which messages of a publisher that may be forgotten are gone.
	R10GoneNotTold Bug = "r10-gone-untold"
	// R10DurableNotTold leaves out how far a publisher is durable here when it tells such a peer about it (see R10StalePromise).
	R10DurableNotTold Bug = "r10-durable-untold"
	// R10OwnSessionUntold does not tell a peer about a publisher that may be forgotten when it has a session here.
	R10OwnSessionUntold Bug = "r10-own-session-untold"
	// R10SentNotKept makes a store report after a crash that nothing was sent since it was last closed.
	R10SentNotKept Bug = "r10-sent-not-kept"
	// R10LifeByCRC makes the id of a life with the protocol's hash, for which anyone can find other lives.
	R10LifeByCRC Bug = "r10-life-by-crc"
	// R10CheckIgnored treats two publishers with the same id as one.
	R10CheckIgnored Bug = "r10-check-ignored"
	// R10CheckNotKept leaves the check out of a publisher's first record.
	R10CheckNotKept Bug = "r10-check-not-kept"
	// R10CheckTold sends the check of a publisher to subscribers.
	R10CheckTold Bug = "r10-check-told"
	// R10CheckNotInHead leaves the checks out of the heads of segments.
	R10CheckNotInHead Bug = "r10-check-not-in-head"
	// R10NotIntroduced sends a peer the first record of a publisher without its check.
	R10NotIntroduced Bug = "r10-not-introduced"
	// R10LastUserOwns makes the user of the latest record the owner of a publisher.
	R10LastUserOwns Bug = "r10-last-user-owns"
	// R10OwnerNotInHead leaves the owners out of the heads of segments.
	R10OwnerNotInHead Bug = "r10-owner-not-in-head"
	// R10OwnerNotStated leaves the owners of publishers out of a hello.
	R10OwnerNotStated Bug = "r10-owner-not-stated"
	// R10OwnerNotIntroduced sends a peer markers without the owner of their publisher.
	R10OwnerNotIntroduced Bug = "r10-owner-not-introduced"
	// R10UserOfMessagesOnly leaves the user out of the records of a session that are no messages.
	R10UserOfMessagesOnly Bug = "r10-user-of-messages-only"
	// R10OwnersIgnored treats two publishers with one id and different owners as one.
	R10OwnersIgnored Bug = "r10-owners-ignored"
	// R10OwnerOutlives gives a forgotten publisher that comes back its former owner.
	R10OwnerOutlives Bug = "r10-owner-outlives"
	// R10KeepsRefusedLife makes the client keep a life whose id belongs to another publisher.
	R10KeepsRefusedLife Bug = "r10-keeps-refused-life"
	// R10LifeTold writes the life of the store to the log.
	R10LifeTold Bug = "r10-life-told"
	// R10NoBase numbers a life from 1 on a server without our extensions.
	R10NoBase Bug = "r10-no-base"
	// R10CompactsDoubt compacts a database whose last commit may be missing; the doubt is lost, and no new life begins.
	R10CompactsDoubt Bug = "r10-compacts-doubt"
	// R11NoFence lets two sessions of one name live.
	R11NoFence Bug = "r11-no-fence"
	// R11CrossingIsAway treats a peer as away between the end of one connection and the other that takes its place.
	R11CrossingIsAway Bug = "r11-crossing-is-away"
	// R11AcceptsBeforeAnswer accepts numbers of a session before its notice was answered.
	R11AcceptsBeforeAnswer Bug = "r11-takes-at-once"
	// R11AcceptsWhileBehind accepts numbers although a peer has more of the publisher than this instance.
	R11AcceptsWhileBehind Bug = "r11-takes-behind"
	// R11LoserNotTold does not tell a peer that its session has lost against one that stays.
	R11LoserNotTold Bug = "r11-kept-in-silence"
	// R11ClaimForgotten answers a claim although another peer has sent a higher one.
	R11ClaimForgotten Bug = "r11-claim-forgotten"
	// R11LaterWins ignores the counter of a logon: the later notice wins.
	R11LaterWins Bug = "r11-later-wins"
	// R11AnyUser lets a user take a client name that a session of another user has.
	R11AnyUser Bug = "r11-any-user"
	// R11NoContentCheck answers a duplicate identity with other content as a plain duplicate.
	R11NoContentCheck Bug = "r11-no-content-check"
	// R11KindsAlike treats a message and a tombstone of one identity as the same.
	R11KindsAlike Bug = "r11-kinds-alike"
	// R11SessionBehindLink lets a session live although a link brings numbers that its client has not given out.
	R11SessionBehindLink Bug = "r11-overtaken"
	// R11GoneWithoutCRC reports messages as gone without the running CRC at that number.
	R11GoneWithoutCRC Bug = "r11-gone-without-crc"
	// R11NameNotGrowing makes a client retry with a fixed delay when its name is in use.
	R11NameNotGrowing Bug = "r11-name-not-growing"
	// R11ComparedLate uses a hello before it is compared.
	R11ComparedLate Bug = "r11-compared-late"
	// R11DivergedNotDurable forgets at a restart that a publisher has diverged.
	R11DivergedNotDurable Bug = "r11-diverged-not-durable"
	// R11DivergedTaken accepts records of a diverged publisher.
	R11DivergedTaken Bug = "r11-diverged-taken"
	// R11DivergedSafe lets safe(p) of a diverged publisher pass the last number that is proven equal.
	R11DivergedSafe Bug = "r11-diverged-safe"
	// R11DivergedSent sends the records of a diverged publisher to peers.
	R11DivergedSent Bug = "r11-diverged-sent"
	// R11DivergedForgotten lets diverged publishers be forgotten like others.
	R11DivergedForgotten Bug = "r11-diverged-forgotten"
	// R11DivergedPromised counts a peer's promise that it may forget a publisher although the publisher has diverged.
	R11DivergedPromised Bug = "r11-diverged-promised"
	// R11DivergedAwaited counts the messages of a diverged publisher that a peer lacks as waiting.
	R11DivergedAwaited Bug = "r11-diverged-awaited"
	// R11AnySum accepts messages whose content does not match their sum.
	R11AnySum Bug = "r11-any-sum"
	// R11HeadersNotInSum leaves the headers of a message out of the sum of its content.
	R11HeadersNotInSum Bug = "r11-headers-not-in-sum"
	// R11DivergedHoldsBack makes fully durable subscriptions wait for a diverged publisher.
	R11DivergedHoldsBack Bug = "r11-diverged-holds-back"
	// R11DivergedLives lets a session of a diverged publisher live.
	R11DivergedLives Bug = "r11-diverged-lives"
	// R11DivergedKept lets a client keep a diverged life.
	R11DivergedKept Bug = "r11-diverged-kept"
	// R11TrustsCopies lets go of messages of a copied store that a server has, although another copy may have sent them.
	R11TrustsCopies Bug = "r11-trusts-copies"
	// G6SkipsTurn goes on behind the message in whose turn the application left its loop.
	G6SkipsTurn Bug = "g6-skips-turn"
	// G6RedoDiscarded hands the message of that turn over again although it was discarded meanwhile.
	G6RedoDiscarded Bug = "g6-redo-discarded"
	// R12TailCounts counts the dropped tail of an overrun subscription as received.
	R12TailCounts Bug = "r12-tail-counts"
	// R12ReaderWaits lets the reader of a connection wait for the application.
	R12ReaderWaits Bug = "r12-reader-waits"
	// R12RunUnbounded queues a whole run of messages although only one has room.
	R12RunUnbounded Bug = "r12-run-unbounded"
	// R13SettledIsSafe gives messages that are only settled to a fully durable subscription.
	R13SettledIsSafe Bug = "r13-settled-is-safe"
	// R14LimitsJournaled applies the limit on published messages to messages that are in a journal of the group already.
	R14LimitsJournaled Bug = "r14-limits-the-old"
	// R14TooLargeAgain ends the connection because of a message that is longer than the client accepts.
	R14TooLargeAgain Bug = "r14-too-large-again"
	// R14NoTombstone rejects a message without leaving a tombstone.
	R14NoTombstone Bug = "r14-no-tombstone"
	// R14ReplayRejected keeps a rejected message in the store.
	R14ReplayRejected Bug = "r14-replay-rejected"
	// R14AckPasses lets a persisted ack pass a tombstone before its failure ack.
	R14AckPasses Bug = "r14-ack-passes"
	// R14AckPassesFrames lets a persisted ack overtake the failure ack of an earlier message in the queue.
	R14AckPassesFrames Bug = "r14-ack-passes-frames"
	// R14NotToldAgain sends the failures of tombstones once only, and not again before a later logon ack.
	R14NotToldAgain Bug = "r14-not-told-again"
	// R14PermissionsKept states in each heartbeat the permissions of the hello.
	R14PermissionsKept Bug = "r14-permissions-kept"
	// R14HeldAsItCame decides a held publish by the permissions of the time when it came.
	R14HeldAsItCame Bug = "r14-held-as-it-came"
	// R14NotCompared treats a message that was taken by earlier permissions as one with other content.
	R14NotCompared Bug = "r14-not-compared"
	// R14DecidesAgain takes a rejected message that comes again once its user may publish it.
	R14DecidesAgain Bug = "r14-decides-again"
	// R14PermissionsCutLink refuses a link with a peer that has other permissions.
	R14PermissionsCutLink Bug = "r14-permissions-cut-link"
	// R14HelloWithoutPermissions learns the permissions of a peer from its heartbeats only.
	R14HelloWithoutPermissions Bug = "r14-hello-without-permissions"
	// R14DifferenceUntold does not report peers that keep other permissions.
	R14DifferenceUntold Bug = "r14-difference-untold"
	// R14AbsentAgrees treats a peer that is away as one with our permissions.
	R14AbsentAgrees Bug = "r14-absent-agrees"
	// R14StatedIgnored rejects a message that a peer has stated to have.
	R14StatedIgnored Bug = "r14-stated-ignored"
	// R4PlainGaps publishes to a server without extensions that lacks messages that were let go of.
	R4PlainGaps Bug = "r4-plain-gaps"
	// R11PushesBack lets two processes of one name end each other's sessions in turn at a server without extensions.
	R11PushesBack Bug = "r11-pushes-back"
	// R15ConflatesAll delays the acks of clients with our extensions, as the logon asks of plain servers.
	R15ConflatesAll Bug = "r15-conflates-all"
	// R14DuplicateRejects reports a message as rejected that a plain server has already.
	R14DuplicateRejects Bug = "r14-duplicate-rejects"
	// R14UnnamedEnds ends the session when a plain server refuses a message without naming it.
	R14UnnamedEnds Bug = "r14-unnamed-ends"
	// R14UnnamedLetGo lets several messages go silently when a plain server has refused one of them without naming it.
	R14UnnamedLetGo Bug = "r14-unnamed-let-go"
	// R15LogonAtOnce answers a plain logon before have(p) and settled(p) are equal.
	R15LogonAtOnce Bug = "r15-logon-at-once"
	// G2AckBeyond counts an ack beyond the last sent message for messages that are sent later.
	G2AckBeyond Bug = "g2-ack-beyond"
	// AuthAnyServer makes a client accept any signature of a server.
	AuthAnyServer Bug = "auth-any-server"
	// AuthAnyClient makes a server accept any proof of a client.
	AuthAnyClient Bug = "auth-any-client"
	// AuthAnyBinding makes a server accept a proof that is bound to another TLS connection.
	AuthAnyBinding Bug = "auth-any-binding"
	// AuthSameNonce gives each SCRAM conversation the same nonce.
	AuthSameNonce Bug = "auth-same-nonce"
	// AuthTrustsAnyServer makes a client with SCRAM believe a server that has not proven itself.
	AuthTrustsAnyServer Bug = "auth-trusts-any-server"
	// AuthTellsLife makes a client with SCRAM tell the life of its store to a server that has not proven itself.
	AuthTellsLife Bug = "auth-tells-life"
	// AuthReadsOnce makes a client read the file of a password or token only once.
	AuthReadsOnce Bug = "auth-reads-once"
	// TLSOptional makes a client connect without TLS although the configuration requires it.
	TLSOptional Bug = "tls-optional"
	// LogUnbounded writes log lines that a client causes at full length.
	LogUnbounded Bug = "log-unbounded"
	// LogBlocks lets an instance wait for the handler of its log.
	LogBlocks Bug = "log-blocks"
	// TxSentEarly sends a message of an application's transaction before the commit.
	TxSentEarly Bug = "tx-sent-early"
	// TxRollbackKept commits the messages of a rolled back transaction together with a later transaction.
	TxRollbackKept Bug = "tx-rollback-kept"
	// TxDiscardInMemory leaves a discard out of the application's transaction; a later commit of the store writes it.
	TxDiscardInMemory Bug = "tx-discard-in-memory"
	// TxTwice lets a transaction discard a message that is not outstanding.
	TxTwice Bug = "tx-twice"
	// InlineForgets drops the part of an inline write that the connection did not take.
	InlineForgets Bug = "inline-forgets"
	// HeartbeatsIgnored never declares a silent connection lost.
	HeartbeatsIgnored Bug = "heartbeats-ignored"
	// StopUntold does not tell the peers that the instance is stopping.
	StopUntold Bug = "stop-untold"
	// ChooserBlind tries servers that are known to lag like all others.
	ChooserBlind Bug = "chooser-blind"
	// FailBackBlind returns to a preferred server that has not caught up.
	FailBackBlind Bug = "failback-blind"
	// R10AnyOwner lets a user publish as a publisher of another user.
	R10AnyOwner Bug = "r10-any-owner"
	// AuthNoDelay answers failed logons at once, however many there were.
	AuthNoDelay Bug = "auth-no-delay"
	// AuthAnyAttempts lets an address try any number of passwords at once.
	AuthAnyAttempts Bug = "auth-any-attempts"
	// AuthAnyChallenges lets a logon have any number of challenges.
	AuthAnyChallenges Bug = "auth-any-challenges"
	// AuthNoDeadline gives a logon with challenges any time.
	AuthNoDeadline Bug = "auth-no-deadline"
	// PermissionsStale leaves open sessions with the permissions of their logon.
	PermissionsStale Bug = "permissions-stale"
	// PermissionsRemembered answers whether a user may have a topic as it did before the permissions changed.
	PermissionsRemembered Bug = "permissions-remembered"
	// OpenByDefault lets an instance without users listen at any address.
	OpenByDefault Bug = "open-by-default"
	// LinksOpenByDefault lets an instance without a link secret and TLS replicate at any address.
	LinksOpenByDefault Bug = "links-open-by-default"
	// AdminOpenByDefault lets an instance without a token answer operators at any address.
	AdminOpenByDefault Bug = "admin-open-by-default"
	// AnyClientName lets a user log on with any client name.
	AnyClientName Bug = "any-client-name"
	// AnyPublish lets a user publish to any topic.
	AnyPublish Bug = "any-publish"
	// AnySubscribe delivers messages of topics that the user may not subscribe to.
	AnySubscribe Bug = "any-subscribe"
	// UserClaimed gives messages the user that a client claims to be without proof.
	UserClaimed Bug = "user-claimed"
	// DifferentPermissions rejects a message for good although a peer has other permissions.
	DifferentPermissions Bug = "different-permissions"
	// AnyRate lets a user send commands at any rate.
	AnyRate Bug = "any-rate"
	// AnyRateInBatch lets a user send any number of refused publishes in one batch.
	AnyRateInBatch Bug = "any-rate-in-batch"
	// AnyRateAnew lets a user get rid of the wait for refused publishes with a new session.
	AnyRateAnew Bug = "any-rate-anew"
	// AnyConnections lets a user have any number of sessions.
	AnyConnections Bug = "any-connections"
	// AnyPublishers lets a user have any number of publishers.
	AnyPublishers Bug = "any-publishers"
	// AuditBlocks lets whoever adds a line to the audit log wait until it is written.
	AuditBlocks Bug = "audit-blocks"
	// AuditRepeats writes lines of the audit log that repeat each other.
	AuditRepeats Bug = "audit-repeats"
	// AuditGrows never begins another file of the audit log.
	AuditGrows Bug = "audit-grows"
	// HeadersLostAtLink has an instance leave out the headers of messages that it receives over a link.
	HeadersLostAtLink Bug = "headers-lost-at-link"
	// HeadersLostOnResend sends messages of the store again without their headers.
	HeadersLostOnResend Bug = "headers-lost-on-resend"
	// HeadersOfAnother gives messages in a batch the headers of the message before them.
	HeadersOfAnother Bug = "headers-of-another"
	// HeadersStay gives received messages without headers those of an earlier message.
	HeadersStay Bug = "headers-stay"
	// PlainGetsAll delivers headers, and correlation ids of any bytes, to clients without our extensions,
	// and sends messages with them to servers without our extensions.
	PlainGetsAll Bug = "plain-gets-all"
	// AsyncCounts counts an asynchronous destination for acks.
	AsyncCounts Bug = "async-counts"
	// ReloadTakesBad replaces a value that was read from files even if the new files cannot be used.
	ReloadTakesBad Bug = "reload-takes-bad"
	// TLSSlowHandshake gives a TLS handshake with a client any time.
	TLSSlowHandshake Bug = "tls-slow-handshake"
	// TLSUnbounded computes any number of TLS handshakes at once.
	TLSUnbounded Bug = "tls-unbounded"
	// TLSLongHandshake reads TLS handshakes of any length.
	TLSLongHandshake Bug = "tls-long-handshake"
	// TLSPlainServed serves clients without TLS at a port that requires it.
	TLSPlainServed Bug = "tls-plain-served"
	// TLSAnyName links with a peer whose certificate has another name.
	TLSAnyName Bug = "tls-any-name"
	// TLSCertificateKept presents the certificate of the start after its files have changed.
	TLSCertificateKept Bug = "tls-certificate-kept"
	// TLSExpiryUntold does not warn of certificates that expire soon.
	TLSExpiryUntold Bug = "tls-expiry-untold"
	// AdminAnyToken answers requests to the admin port without the token.
	AdminAnyToken Bug = "admin-any-token"
	// AdminActsFreely lets anybody act through an admin port without a token or certificate.
	AdminActsFreely Bug = "admin-acts-freely"
	// AdminAnyOrigin lets the pages of other origins act through the admin port.
	AdminAnyOrigin Bug = "admin-any-origin"
	// InSyncCatchingUp lets /insync say yes while the instance lacks messages that a peer has acknowledged.
	InSyncCatchingUp Bug = "insync-catching-up"
	// InSyncSingle lets /insync say yes while a peer acknowledges messages without the instance.
	InSyncSingle Bug = "insync-single"
	// InSyncAsync lets /insync say yes if the only links are asynchronous.
	InSyncAsync Bug = "insync-async"
	// InSyncDiskFull lets /insync say yes while the disk is nearly full.
	InSyncDiskFull Bug = "insync-disk-full"
	// InSyncStopping lets /insync say yes while the instance stops.
	InSyncStopping Bug = "insync-stopping"
)
