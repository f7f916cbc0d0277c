//! Messages of `NoticeService`.

use countersign_domain::usecase::repudiate::NoticeDescription;
use countersign_proto::v1;

use super::timestamp;

/// What a link is about, as a message.
pub(crate) fn render(notice: NoticeDescription) -> v1::DescribeNoticeResponse {
    v1::DescribeNoticeResponse {
        app_name: notice.app_name,
        authenticator: notice.authenticator.unwrap_or_default(),
        add_time: Some(timestamp(notice.added_at)),
        expire_time: Some(timestamp(notice.expires_at)),
    }
}
