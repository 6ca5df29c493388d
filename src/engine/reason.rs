//! Why an authentication ended as it did: a closed list, each with a code for machines and a sentence for auditors.
//!
//! A user never sees a reason. The text that a user sees is the same for every refusal.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal),+ $(,)?) => {
        /// Why an authentication ended as it did.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Reason] = &[$(Reason::$name),+];

            /// The kebab-case word in logs, audit rows and reports.
            pub fn code(self) -> &'static str {
                match self { $(Reason::$name => $code),+ }
            }

            /// One sentence for an auditor.
            pub fn sentence(self) -> &'static str {
                match self { $(Reason::$name => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

reasons! {
    /// The password and the code were right.
    CodeAccepted = "code-accepted",
    /// The password was right, and so were two codes in a row of a counter token that had run ahead; it is followed there.
    Resynchronised = "resynchronised",
    /// The password was right, the user owns no token, and the client's policy lets such users in.
    UnenrolledAllowed = "unenrolled-allowed",
    /// The password was right, and a rule of the policy asks such logins for no second factor.
    Exempt = "exempt",
    /// The password was right, and so was a recovery code in place of a token's.
    RecoveryAccepted = "recovery-code-accepted",
    /// The password was right, and an admin had opened a bypass that needs no second factor once.
    BypassUsed = "bypass-used",
    /// The password was right, and a second factor was right at the same client and station a while ago, which is remembered.
    Remembered = "remembered",
    /// The password was right, and the user approved the login on the phone.
    PhoneApproved = "phone-approved",
    /// A passkey was right at the portal, where it is password and second factor at once.
    PasskeyAccepted = "passkey-accepted",
    /// The login had been armed before it came.
    ArmedUsed = "armed-used",
    /// The primary authentication refused the password.
    PrimaryRejected = "primary-rejected",
    /// The password was not passed on: so many of the user's were wrong that one more might lock the account there.
    PasswordWithheld = "password-withheld",
    /// No server of the primary authentication answered in time.
    PrimaryUnavailable = "primary-unavailable",
    /// The user owns no token that could be asked for, and the client's policy refuses such users.
    Unenrolled = "unenrolled",
    /// The user never had a second factor, and was shown an address and a code to set one up.
    EnrolCodeShown = "enrol-code-shown",
    /// The user never had a second factor, and may set one up only from enrol-networks, or with a phone or mail on file.
    EnrolElsewhere = "enrol-elsewhere",
    /// The user never had a second factor, and the gateway shows nobody how to set one up.
    EnrolNotShown = "enrol-not-shown",
    /// All that the user had as a second factor was taken away; an invitation goes to the mail or phone on file, if there is one.
    FactorWithdrawn = "factor-withdrawn",
    /// The user owns tokens, but every one of them is disabled.
    NoUsableToken = "no-usable-token",
    /// The user owns tokens that are enabled, but their time is over.
    TokenExpired = "token-expired",
    /// The user owns tokens that are enabled, but their time has not come.
    TokenNotYet = "token-not-yet-valid",
    /// The gateway cannot ask for a code, and the user owns nothing that works without being asked.
    CannotAsk = "cannot-ask",
    /// The user asked for a method, by its name or number, that is not on offer, and the gateway cannot ask again.
    MethodNotOffered = "method-not-offered",
    /// The user owns no token but has a name that looks like somebody's who is asked for a factor, where users without one may pass.
    ResemblesAnother = "resembles-another-user",
    /// An admin has disabled the user.
    UserDisabled = "user-disabled",
    /// An admin has blocked the user for a time that is not over.
    UserBlocked = "user-blocked",
    /// The bypass that an admin had opened was used or cancelled while the login was under way.
    BypassGone = "bypass-gone",
    /// The gateway's logins have to be armed first, and this one was not.
    NotArmed = "not-armed",
    /// A request that this server had passed on came back to it: whoever it asks about passwords asks this server.
    ProxyLoop = "proxy-loop",
    /// The remembered factor was ended while the login was under way.
    SessionGone = "session-gone",
    /// The code was wrong.
    CodeWrong = "code-wrong",
    /// The code was right but was used before, or is older than one that was.
    CodeReused = "code-reused",
    /// The code is one of a counter token far ahead; only with the next one, right after it, is it followed there.
    CodeAhead = "code-ahead",
    /// The code was not looked at: after too many wrong ones the user has to wait.
    BackOff = "back-off",
    /// The code was not looked at: so many were wrong that an admin has to unlock the user.
    Locked = "locked",
    /// The PIN before the code was wrong or missing.
    PinWrong = "pin-wrong",
    /// The client's policy wants a PIN before the code, and the user's is older than the policy lets it become.
    PinExpired = "pin-expired",
    /// The client's policy wants a PIN before the code, and the user has none.
    PinMissing = "pin-missing",
    /// The code was right, but came after its time.
    CodeExpired = "code-expired",
    /// A code was made and handed over to be sent; the login goes on.
    CodeSent = "code-sent",
    /// A code was sent at a gateway that cannot ask for it; the user's next login there brings it behind the password.
    CodeSentAhead = "code-sent-ahead",
    /// A code stood behind the password, but the user owns no token, and none that was sent is waited for at this server.
    NoCodeAwaited = "no-code-awaited",
    /// No provider took the message.
    DeliveryFailed = "delivery-failed",
    /// The provider says that a message with a code reached the user's device.
    MessageArrived = "message-arrived",
    /// The provider says that a message with a code did not reach the user's device, and will not.
    MessageLost = "message-not-arrived",
    /// So many messages were sent, to the user or in all, that no more may be sent yet.
    SendLimit = "send-limit",
    /// The user was asked on the phone, by a push, a call or a text message to be answered; the login goes on.
    PhoneAsked = "phone-asked",
    /// The user denied the login on the phone.
    PhoneDenied = "phone-denied",
    /// The number that was typed or chosen on the phone was not the one that the gateway showed.
    NumberWrong = "number-wrong",
    /// The user said on the phone that somebody else was logging in, and is blocked for 90 days.
    FraudReported = "fraud-reported",
    /// The user was asked on the phone, and did not answer in time.
    NoAnswer = "no-answer",
    /// An answer from a phone came after its login had ended or was answered already; it changed nothing.
    AnswerLate = "answer-late",
    /// The answer came from a device, or a number, that was revoked or enrolled anew meanwhile.
    DeviceNotActive = "device-not-active",
    /// What was shown for a passkey is none of this user's, or was made for something else, or without making sure of the user.
    PasskeyWrong = "passkey-wrong",
    /// A passkey has counted back: somebody may have a copy of it. It was not believed.
    PasskeyCopied = "passkey-copied",
    /// An approval came without the passkey that the policy, or the device, wants; it changed nothing.
    PasskeyRequired = "passkey-required",
    /// Pushes are approved by passkey alone there, and the user has no passkey, or no device that shows the page for it.
    PasskeyMissing = "passkey-missing",
    /// Another login of the user waits for an answer from the phone, and nobody is asked about two at once.
    LoginPending = "login-pending",
    /// So many pushes were ignored or denied of late that the user is sent none for a while.
    PushPaused = "push-paused",
    /// The token was removed or disabled while the login was under way.
    TokenGone = "token-gone",
    /// No code came before the challenge expired.
    Abandoned = "abandoned",
    /// The State attribute is none that this server made for this user at this client.
    StateForged = "state-forged",
    /// The State attribute was good, but its login has ended or was already answered.
    StateSpent = "state-spent",
    /// The State attribute is older than its challenge lived.
    StateExpired = "state-expired",
    /// The login was parked by a server of another version, or follows from a rule or a client that this server does not have.
    LoginUnreadable = "login-unreadable",
    /// The State attribute was made by another server.
    IssuedByAnotherServer = "issued-by-another-server",
    /// The server that made the State attribute did not answer, or not in time.
    OwnerUnavailable = "owner-unavailable",
    /// The server that made the State attribute has no client of this name.
    ClientUnknownAtOwner = "client-unknown-at-owner",
    /// The answer was right, but whoever passed it on to this server had told its gateway by then that there was none; nothing was spent.
    RelayedTooLate = "relayed-too-late",
    /// Another server has the login and decided; its trail says how.
    Relayed = "relayed",
    /// The request carries a kind of credential that this server cannot check.
    CredentialNotSupported = "credential-not-supported",
    /// The request carries no user name, or one that no user can have.
    BadUserName = "bad-user-name",
    /// The password is empty.
    EmptyPassword = "empty-password",
    /// The password does not decode: the shared secret of this client differs from the gateway's.
    PasswordUndecodable = "password-undecodable",
    /// The login could not be recorded, so it could not be accepted.
    StoreUnavailable = "store-unavailable",
    /// The primary authentication kept asking questions, or the user for another method, beyond the limit.
    TooManyRounds = "too-many-rounds",
    /// An admin cleared the count of wrong codes.
    Unlocked = "unlocked",
    /// So many codes of the user were wrong within thirty days that somebody who knows the password may be guessing.
    GuessingSuspected = "guessing-suspected",
    /// Logins of so many users failed within minutes that somebody may be trying passwords on all of them.
    SpraySuspected = "spray-suspected",
    /// Four fifths of the texts and calls that may be sent to all users within 24 hours have been sent.
    BudgetLow = "budget-low",
    /// An admin blocked the user for a time.
    Blocked = "blocked",
    /// An admin ended a block before its time.
    Unblocked = "unblocked",
    /// An admin gave the user new recovery codes, which ends the earlier ones.
    RecoveryIssued = "recovery-codes-issued",
    /// An admin opened a bypass: the user's next login at a client needs no second factor, once.
    BypassOpened = "bypass-opened",
    /// An admin cancelled the bypasses that were open for the user.
    BypassCancelled = "bypass-cancelled",
    /// A login was armed: the user's next one at a client is let in, once.
    Armed = "armed",
    /// A login that was armed is let in no more.
    Disarmed = "disarmed",
    /// An admin ended the user's remembered factors, or one of them.
    SessionEnded = "session-ended",
    /// An admin set the user's PIN.
    PinSet = "pin-set",
    /// An admin took the user's PIN away.
    PinRemoved = "pin-removed",
    /// An admin gave the user a device that pushes go to.
    DeviceAdded = "device-added",
    /// An admin took a device back: its answers count no more.
    DeviceRevoked = "device-revoked",
    /// An admin said whether a device approves without a passkey.
    DeviceChanged = "device-changed",
    /// A passkey of the user's was added.
    PasskeyAdded = "passkey-added",
    /// A passkey of the user's was removed.
    PasskeyRemoved = "passkey-removed",
    /// A passkey was used: what it counts, and when it was used last, is known anew.
    PasskeyUsed = "passkey-used",
    /// A device has another name.
    DeviceRenamed = "device-renamed",
    /// An admin gave the user a role at the admins' pages, or took it away.
    RoleChanged = "role-changed",
    /// The user's telephone number was changed by somebody else, and no code goes to the new one for a while.
    PhoneHeld = "phone-held",
    /// An admin made a token of the interface for programs.
    ApiTokenAdded = "api-token-added",
    /// An admin revoked a token of the interface for programs.
    ApiTokenRevoked = "api-token-revoked",
    /// An admin invited the user to set up a second factor.
    Invited = "invited",
    /// An admin took an invitation back.
    InviteRevoked = "invite-revoked",
    /// The user has used an invitation to set up a second factor.
    InviteUsed = "invite-used",
    /// A user who was led to the portal showed the code from the gateway there, and may set up a first factor.
    EnrolCodeUsed = "enrol-code-used",
    /// A code that was sent to the telephone on file was typed on the portal: its owner reads what is sent there.
    PhoneChecked = "phone-checked",
    /// The user said on the portal that a login was somebody else's, and is blocked.
    LoginDisowned = "login-disowned",
    /// An admin checked a code of a token; it was right, and is used up.
    TokenVerified = "token-verified",
    /// An admin brought a token back in step by two of its codes in a row, which are used up.
    TokenResynchronised = "token-resynchronised",
    /// An admin gave a token another serial number.
    TokenRenamed = "token-renamed",
    /// An admin disabled a user's token and gave the user another one in its place.
    TokenReplaced = "token-replaced",
    /// An admin changed what is known of a token.
    TokenChanged = "token-changed",
    /// An admin added a user.
    UserAdded = "user-added",
    /// An admin changed what is known of a user.
    UserChanged = "user-changed",
    /// An admin removed a user.
    UserRemoved = "user-removed",
    /// An admin removed a user and had the user's name taken out of the trail.
    UserErased = "user-erased",
    /// An admin added a token.
    TokenAdded = "token-added",
    /// An admin imported tokens, so many as the row counts.
    TokensImported = "tokens-imported",
    /// An admin gave a token to a user.
    TokenAssigned = "token-assigned",
    /// An admin took a token back from its user.
    TokenUnassigned = "token-unassigned",
    /// An admin switched a token on.
    TokenEnabled = "token-enabled",
    /// An admin switched a token off.
    TokenDisabled = "token-disabled",
    /// An admin removed a token.
    TokenRemoved = "token-removed",
    /// An admin exported a token with its seed.
    TokenExported = "token-exported",
    /// An admin imported users, so many as the row counts.
    UsersImported = "users-imported",
    /// An admin had a message sent by one channel, to try it.
    ChannelTried = "channel-tried",
    /// An admin let a gateway's addresses go without Message-Authenticator again.
    ClientRelaxed = "client-relaxed",
    /// An admin backed the store up.
    StoreBackedUp = "store-backed-up",
    /// An admin put a backup in the store's place; what came after that backup is not in the trail.
    StoreRestored = "store-restored",
    /// An admin gave the store a new sealing key.
    StoreRekeyed = "store-rekeyed",
    /// An admin brought the store up to a newer version.
    StoreMigrated = "store-migrated",
    /// The primary's attributes do not fit into one packet, so the login could not be accepted; no code was spent.
    ReplyTooLarge = "reply-too-large",
    /// A fault in this program ended the login; the log has the details.
    InternalError = "internal-error",
}

impl Reason {
    /// Back from [`Reason::code`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|reason| reason.code() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_code_and_reads_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.code()), Some(*reason));
            assert!(reason.sentence().ends_with('.'), "{reason:?}");
        }
    }
}
