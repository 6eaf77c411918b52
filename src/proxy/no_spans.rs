//! What stands for `spans` in a build without traces: nothing, in the same words.

use std::marker::PhantomData;
use std::time::Duration;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, StatusCode};

use super::outbound::{Authorized, Sanitized};
use super::share::RouteShare;
use crate::metrics::AnsweredBy;
use crate::reason::Reason;
use crate::server::ConnectionInfo;
use crate::token::AccessToken;
use crate::traces::Recording;

/// Nothing is recorded of a request.
#[derive(Debug)]
pub(super) struct Spans;

/// Nothing is recorded of its sendings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sendings<'a>(PhantomData<&'a Spans>);

/// Nothing is said of it to the upstream.
pub(super) struct Said;

/// Nothing is recorded of this one.
pub(super) struct Sending<'a>(PhantomData<&'a Spans>);

#[allow(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "the words of the other build")]
impl Spans {
    #[inline]
    pub(super) fn begin(_: &Recording, _: &ConnectionInfo, _: &mut Parts, _: Option<&HeaderName>) -> Self {
        Self
    }

    #[inline]
    pub(super) fn asked(&mut self, _: &Authority) {}

    #[inline]
    pub(super) fn answered(&mut self, _: StatusCode, _: AnsweredBy) {}

    #[inline]
    pub(super) fn refused(&mut self, _: Reason) {}

    #[inline]
    pub(super) fn sendings(&self) -> Sendings<'_> {
        Sendings(PhantomData)
    }

    #[inline]
    pub(super) fn finish(&mut self, _: Option<&RouteShare>, _: Duration) {}
}

#[allow(clippy::unused_self, reason = "the words of the other build")]
impl<'a> Sendings<'a> {
    #[inline]
    pub(super) fn connecting(self) {}

    #[inline]
    pub(super) fn begin(self, _: &'a RouteShare, _: &'a Sanitized, _: Option<&AccessToken>) -> Sending<'a> {
        Sending(PhantomData)
    }
}

#[allow(clippy::unused_self, reason = "the words of the other build")]
impl Said {
    #[inline]
    pub(super) fn say<'r>(self, request: Authorized<'r>) -> Authorized<'r> {
        request
    }
}

#[allow(clippy::unused_self, reason = "the words of the other build")]
impl Sending<'_> {
    #[inline]
    pub(super) fn said(&self) -> Said {
        Said
    }

    #[inline]
    pub(super) fn answered(self, _: StatusCode) {}

    #[inline]
    pub(super) fn failed(self, _: Reason) {}
}
