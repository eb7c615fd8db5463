/* The version of Waybill, and nothing else. */
#ifndef WAYBILL_VERSION_H
#define WAYBILL_VERSION_H

#define WB_VERSION "0.1.0"

#endif
